//! Mixtures of experts: a router, stacked gated networks, experts that everyone uses.

use rocmforge_program::{Activation, ExpertSelection, RouteSpec, Scoring, ValueId, WeightId};

use super::{Emitted, Mlp};
use crate::hparams::{Dim, Layer};
use crate::net::Net;
use crate::source::Source;
use crate::{ModelError, keys};

/// A mixture of experts, the same in every layer that has one.
#[derive(Debug, Clone)]
pub(crate) struct Moe {
    pub route: RouteSpec,
    /// Width of one expert.
    pub width: Dim,
    pub activation: Activation,
}

impl Moe {
    /// Reads the router; `scoring` and `normalize` are the architecture's unless the file says otherwise.
    /// `None` for a file without experts.
    pub(crate) fn read(
        source: &Source<'_>,
        activation: Activation,
        scoring: Scoring,
        normalize: bool,
    ) -> Result<Option<Self>, ModelError> {
        let experts = source.size(&keys::NUM_EXPERTS)?.unwrap_or(0);
        if experts == 0 {
            return Ok(None);
        }
        let chosen = source.need(&keys::NUM_EXPERTS_PER_TOKEN)?;
        if chosen == 0 || chosen > experts {
            return Err(source.bad(keys::NUM_EXPERTS_PER_TOKEN.key, chosen, format!("1 to {experts} experts")));
        }
        let (groups, groups_chosen) = groups(source, experts, chosen)?;
        let scoring = match source.size(&keys::EXPERT_SCORING)? {
            Some(1) => Scoring::Softmax,
            Some(2) => Scoring::Sigmoid,
            Some(3) => Scoring::SoftmaxChosen,
            _ => scoring,
        };
        let normalize = source.truth(keys::plain::NORMALIZE_EXPERTS)?.unwrap_or(normalize);
        let scale = source.number(&keys::EXPERT_SCALE)?.unwrap_or(1.0);
        let route = RouteSpec { experts, chosen, scoring, normalize, scale, groups, groups_chosen };
        Ok(Some(Self { route, width: expert_width(source)?, activation }))
    }

    /// As [`read`](Self::read), for an architecture that is a mixture of experts by definition.
    pub(crate) fn need(
        source: &Source<'_>,
        activation: Activation,
        scoring: Scoring,
        normalize: bool,
    ) -> Result<Self, ModelError> {
        let found = Self::read(source, activation, scoring, normalize)?;
        found.ok_or_else(|| match source.size(&keys::NUM_EXPERTS) {
            Ok(Some(zero)) => source.bad(keys::NUM_EXPERTS.key, zero, "at least 1"),
            _ => source.missing_key(keys::NUM_EXPERTS.key),
        })
    }

    /// Width of the experts that every token uses, taken as one; 0 when there are none.
    pub(crate) fn shared_width(&self, source: &Source<'_>) -> Result<Dim, ModelError> {
        const KEYS: &str = "expert_shared_count x expert_feed_forward_length";
        let count = source.size(&keys::NUM_SHARED_EXPERTS)?.unwrap_or(0);
        Ok(Dim::new(count * self.width.size, KEYS))
    }

    fn experts(&self) -> Dim {
        Dim::new(self.route.experts, keys::NUM_EXPERTS.key)
    }
}

fn expert_width(source: &Source<'_>) -> Result<Dim, ModelError> {
    match source.size(&keys::MOE_INTERMEDIATE_SIZE)? {
        Some(width) => Ok(Dim::new(width, keys::MOE_INTERMEDIATE_SIZE.key)),
        None => Ok(Dim::new(source.need(&keys::INTERMEDIATE_SIZE)?, keys::INTERMEDIATE_SIZE.key)),
    }
}

/// Groups of experts and how many take part; one group when the file says nothing.
fn groups(source: &Source<'_>, experts: usize, chosen: usize) -> Result<(usize, usize), ModelError> {
    let groups = source.size(&keys::NUM_EXPERT_GROUPS)?.unwrap_or(0).max(1);
    let used = source.size(&keys::NUM_EXPERT_GROUPS_CHOSEN)?.unwrap_or(0);
    let used = if used == 0 { groups } else { used };
    if !experts.is_multiple_of(groups) {
        return Err(source.bad(keys::NUM_EXPERT_GROUPS.key, groups, format!("a divisor of {experts} experts")));
    }
    if used > groups || experts / groups * used < chosen {
        let range = format!("at most {groups} groups, with room for {chosen} experts");
        return Err(source.bad(keys::NUM_EXPERT_GROUPS_CHOSEN.key, used, range));
    }
    Ok((groups, used))
}

impl Net<'_> {
    /// The routed experts of normalised `x`, weighted and summed, `[T, hidden]`.
    pub(crate) fn moe(&mut self, layer: &Layer, x: ValueId, moe: &Moe) -> Emitted {
        let scores = self.linear(x, &layer.tensor("ffn_gate_inp"), moe.experts(), self.hp.hidden_size)?;
        let bias = self.bias(&layer.tensor("exp_probs_b"), moe.experts());
        let chosen = self.ops.route(scores, moe.route, bias)?;
        let hidden = self.hp.hidden_size;
        let gate = self.expert(layer, x, chosen, "ffn_gate_exps", [moe.experts(), moe.width, hidden])?;
        let up = self.expert(layer, x, chosen, "ffn_up_exps", [moe.experts(), moe.width, hidden])?;
        let inner = self.ops.gate(gate, Some(up), moe.activation)?;
        let down = self.expert(layer, inner, chosen, "ffn_down_exps", [moe.experts(), hidden, moe.width])?;
        Ok(self.ops.expert_sum(down, chosen)?)
    }

    fn expert(
        &mut self,
        layer: &Layer,
        x: ValueId,
        chosen: ExpertSelection,
        part: &str,
        [experts, rows, cols]: [Dim; 3],
    ) -> Emitted {
        let weight = self.stacked(&layer.tensor(&format!("{part}.weight")), experts, rows, cols);
        let bias = self.expert_bias(&layer.tensor(&format!("{part}.bias")), experts, rows);
        Ok(self.ops.expert_linear(x, chosen, weight, bias)?)
    }

    fn expert_bias(&mut self, name: &str, experts: Dim, rows: Dim) -> Option<WeightId> {
        self.has(name).then(|| self.table(name, experts, rows))
    }

    /// Experts that every token uses: one network as wide as all of them.
    pub(crate) fn shared_expert(&mut self, layer: &Layer, x: ValueId, moe: &Moe, width: Dim) -> Emitted {
        self.mlp_of(layer, x, Mlp::Gated(moe.activation), width, "_shexp")
    }
}
