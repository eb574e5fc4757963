//! A scheduler and a pool, with a model whose next token follows from the tokens so far.

use std::collections::BTreeMap;

use rocmforge_kv_cache::{BlockPool, TokenId};
use rocmforge_scheduler::{
    ClientId, Ended, NewRequest, Next, Outcome, Refused, RequestId, Scheduler, SchedulerConfig, SequenceId, State,
    StepPlan,
};

pub const BLOCK: usize = 4;

pub struct World {
    pub pool: BlockPool,
    pub scheduler: Scheduler,
    /// Generated tokens, also of sequences that ended.
    pub texts: BTreeMap<SequenceId, Vec<TokenId>>,
    pub ended: Vec<Ended>,
    /// Prompt and generated tokens computed, over all steps.
    pub computed: usize,
}

/// The next token of a sequence; no two sequences of a request go on alike.
pub fn next_token(log: &[TokenId], index: u32) -> TokenId {
    log.iter().fold(index + 17, |h, &t| (h ^ t).wrapping_mul(0x9e37_79b1).rotate_left(11)) % 50_000
}

/// What a request yields alone.
pub fn alone(prompt: &[TokenId], index: u32, tokens: usize) -> Vec<TokenId> {
    let mut log = prompt.to_vec();
    for _ in 0..tokens {
        log.push(next_token(&log, index));
    }
    log.split_off(prompt.len())
}

pub fn prompt(seed: u32, len: usize) -> Vec<TokenId> {
    (0..len as u32).map(|i| seed * 1000 + i).collect()
}

pub fn request(seed: u32, len: usize, max_tokens: usize) -> NewRequest {
    NewRequest::new(prompt(seed, len), max_tokens)
}

pub fn of_client(client: u64, request: NewRequest) -> NewRequest {
    NewRequest { client: ClientId(client), ..request }
}

pub fn config() -> SchedulerConfig {
    SchedulerConfig { max_batch_size: 4, max_rows_per_step: 4, max_tokens_per_step: 16, ..SchedulerConfig::default() }
}

pub fn first(request: RequestId) -> SequenceId {
    SequenceId { request, index: 0 }
}

impl World {
    pub fn new(blocks: usize, config: SchedulerConfig) -> Self {
        Self::with_pool(BlockPool::new(BLOCK, blocks).expect("valid"), config)
    }

    pub fn with_pool(pool: BlockPool, config: SchedulerConfig) -> Self {
        let scheduler = Scheduler::new(config, &pool).expect("valid");
        Self { pool, scheduler, texts: BTreeMap::new(), ended: Vec::new(), computed: 0 }
    }

    pub fn submit(&mut self, request: NewRequest) -> RequestId {
        self.try_submit(request).expect("taken")
    }

    pub fn try_submit(&mut self, request: NewRequest) -> Result<RequestId, Refused> {
        self.scheduler.submit(request)
    }

    pub fn plan(&mut self) -> StepPlan {
        let plan = self.scheduler.plan(&mut self.pool).expect("our pool").clone();
        self.take_ended();
        self.check(&plan);
        plan
    }

    /// Outcomes of the model for a plan.
    pub fn outcomes(&self, plan: &StepPlan) -> Vec<Outcome> {
        let next = |sequence: SequenceId| {
            let log = self.scheduler.log(sequence).or_else(|| self.scheduler.log(first(sequence.request)));
            Next::Token(next_token(log.expect("it lives"), sequence.index))
        };
        plan.wanted().map(|sequence| Outcome { sequence, next: next(sequence) }).collect()
    }

    pub fn commit(&mut self, plan: &StepPlan, outcomes: &[Outcome]) {
        for outcome in outcomes {
            if let Next::Token(token) | Next::Last(token) = outcome.next {
                self.texts.entry(outcome.sequence).or_default().push(token);
            }
        }
        self.computed += plan.tokens();
        self.scheduler.commit(&mut self.pool, outcomes).expect("they answer the plan");
        self.take_ended();
        self.pool.check_integrity(self.scheduler.sequences()).expect("consistent");
    }

    pub fn step(&mut self) -> StepPlan {
        let plan = self.plan();
        let outcomes = self.outcomes(&plan);
        self.commit(&plan, &outcomes);
        plan
    }

    /// Steps until nothing is left; returns how many.
    pub fn finish(&mut self, most: usize) -> usize {
        for steps in 0..most {
            if self.scheduler.is_idle() {
                return steps;
            }
            let is_empty = self.step().is_empty();
            assert!(
                !is_empty || self.scheduler.is_idle(),
                "nothing runs and something waits: {:?}",
                self.scheduler.usage()
            );
        }
        panic!("{} steps were not enough: {:?}", most, self.scheduler.usage())
    }

    pub fn state(&self, request: RequestId) -> Option<State> {
        self.scheduler.state(first(request))
    }

    pub fn text(&self, request: RequestId) -> &[TokenId] {
        self.texts.get(&first(request)).map_or(&[], |text| text)
    }

    pub fn take_ended(&mut self) {
        self.ended.extend(self.scheduler.drain_ended());
    }

    /// Whether a plan keeps to the limits and to what is known.
    fn check(&self, plan: &StepPlan) {
        let config = self.scheduler.config();
        assert!(plan.tokens() <= config.max_tokens_per_step, "{plan}");
        assert!(plan.rows() <= config.max_rows_per_step, "{plan}");
        assert!(plan.items.len() <= config.max_batch_size, "{plan}");
        for item in &plan.items {
            assert!(item.count > 0 && item.rows <= item.count, "{plan}");
            assert_eq!(self.scheduler.tokens_of(item).len(), item.count);
            assert!(self.scheduler.blocks_of(item).len() * BLOCK >= item.start + item.count, "{plan}");
        }
        let mut sequences: Vec<_> = plan.items.iter().map(|item| item.sequence).collect();
        sequences.sort_unstable();
        sequences.dedup();
        assert_eq!(sequences.len(), plan.items.len(), "a sequence has one item: {plan}");
    }
}
