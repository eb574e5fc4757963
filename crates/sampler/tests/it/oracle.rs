//! The chain by its definitions: f64, full sorts, no shared code with the crate.

use rocmforge_sampler::{Dry, SamplingParams, TokenId};

/// What a step depends on besides parameters and logits.
#[derive(Debug, Clone, Default)]
pub struct Context {
    pub prompt: Vec<TokenId>,
    pub output: Vec<TokenId>,
    pub mirostat_mu: f64,
}

/// Probabilities of all tokens; the mean over XTC's coin.
pub fn distribution(params: &SamplingParams, logits: &[f32], context: &Context) -> Vec<f64> {
    let p = f64::from(params.xtc_probability);
    let with = with_coin(params, logits, context, true);
    let without = with_coin(params, logits, context, false);
    with.iter().zip(&without).map(|(a, b)| p * a + (1.0 - p) * b).collect()
}

/// Probabilities of all tokens when XTC's coin fell so.
pub fn with_coin(params: &SamplingParams, logits: &[f32], context: &Context, coin: bool) -> Vec<f64> {
    let adjusted = adjusted(params, logits, context);
    let mut list: Vec<(usize, f64)> =
        adjusted.iter().copied().enumerate().filter(|(_, l)| *l > f64::NEG_INFINITY).collect();
    if params.temperature == 0.0 {
        let mut result = vec![0.0; logits.len()];
        result[by_falling(&list)[0].0] = 1.0;
        return result;
    }
    if params.mirostat.is_none() {
        truncate(params, &mut list, coin);
    }
    let temperature = temperature(params, &list);
    if temperature == 0.0 {
        list = vec![by_falling(&list)[0]];
    } else {
        list.iter_mut().for_each(|(_, l)| *l /= temperature);
    }
    if params.mirostat.is_some() {
        let p = softmax(&list);
        let best = by_falling(&list)[0];
        list = zip_keep(&list, &p, |p| -p.log2() <= context.mirostat_mu);
        if list.is_empty() {
            list = vec![best];
        }
    }
    let mut result = vec![0.0; logits.len()];
    for ((id, _), p) in list.iter().zip(softmax(&list)) {
        result[*id] = p;
    }
    result
}

/// The logits after bias, bans, penalties and DRY.
pub fn adjusted(params: &SamplingParams, logits: &[f32], context: &Context) -> Vec<f64> {
    let mut result: Vec<f64> = logits.iter().map(|l| f64::from(*l)).collect();
    for &(token, bias) in &params.logit_bias {
        result[token as usize] += f64::from(bias);
    }
    if let Some(allowed) = &params.allowed_tokens {
        for (id, logit) in result.iter_mut().enumerate() {
            if !allowed.contains(&(id as TokenId)) {
                *logit = f64::NEG_INFINITY;
            }
        }
    }
    let all = [&context.prompt[..], &context.output[..]].concat();
    let start = all.len() - params.penalty_last_n.unwrap_or(all.len()).min(all.len());
    for (id, logit) in result.iter_mut().enumerate() {
        let is_here = |i: &usize| all[*i] as usize == id;
        let seen = (start..all.len()).filter(is_here).count();
        let made = (start.max(context.prompt.len())..all.len()).filter(is_here).count();
        if seen > 0 {
            let r = f64::from(params.repetition_penalty);
            *logit = if *logit > 0.0 { *logit / r } else { *logit * r };
        }
        if made > 0 {
            *logit -= f64::from(params.frequency_penalty) * made as f64;
            *logit -= f64::from(params.presence_penalty);
        }
    }
    if let Some(dry) = &params.dry {
        for (id, logit) in result.iter_mut().enumerate() {
            *logit -= dry_penalty(dry, &all, id as TokenId);
        }
    }
    // Adding zero turns -0 into 0: the two are one value, also to `total_cmp`.
    result.iter().map(|logit| logit + 0.0).collect()
}

/// DRY's penalty of one token by trying every place and every length.
pub fn dry_penalty(dry: &Dry, all: &[TokenId], token: TokenId) -> f64 {
    if dry.sequence_breakers.contains(&vec![token]) {
        return 0.0;
    }
    let breaks_at = |end: usize| dry.sequence_breakers.iter().any(|b| all[..end].ends_with(b));
    let since_break = (0..=all.len()).take_while(|n| *n == 0 || !breaks_at(all.len() - (n - 1))).last().unwrap_or(0);
    let window = &all[all.len() - dry.last_n.unwrap_or(all.len()).min(all.len())..];
    let mut best = 0;
    for at in (0..window.len()).filter(|at| window[*at] == token) {
        for n in 1..=at.min(since_break) {
            if window[at - n..at] == window[window.len() - n..] {
                best = best.max(n);
            }
        }
    }
    if best < dry.allowed_length {
        return 0.0;
    }
    f64::from(dry.multiplier) * f64::from(dry.base).powi((best - dry.allowed_length) as i32)
}

fn truncate(params: &SamplingParams, list: &mut Vec<(usize, f64)>, coin: bool) {
    let min_keep = params.min_keep.max(1);
    if params.top_n_sigma > 0.0 {
        let n = list.len() as f64;
        let mean = list.iter().map(|(_, l)| l).sum::<f64>() / n;
        let sigma = (list.iter().map(|(_, l)| (l - mean).powi(2)).sum::<f64>() / n).sqrt();
        let floor = by_falling(list)[0].1 - f64::from(params.top_n_sigma) * sigma;
        let count = list.iter().filter(|(_, l)| *l >= floor).count();
        keep_best(list, count.max(min_keep));
    }
    if params.top_k > 0 {
        keep_best(list, (params.top_k as usize).max(min_keep));
    }
    if params.typical_p < 1.0 {
        let p = softmax(list);
        let entropy: f64 = -p.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f64>();
        let mut order: Vec<usize> = (0..list.len()).collect();
        // Rounded, because equal probabilities must tie whatever their logarithm rounds to.
        let key = |i: usize| ((-p[i].ln() - entropy).abs() * 1e9).round();
        order.sort_by(|a, b| key(*a).total_cmp(&key(*b)).then(a.cmp(b)));
        keep_prefix(list, &p, &order, f64::from(params.typical_p), min_keep);
    }
    if params.top_p < 1.0 {
        let p = softmax(list);
        let mut order: Vec<usize> = (0..list.len()).collect();
        order.sort_by(|a, b| list[*b].1.total_cmp(&list[*a].1).then(a.cmp(b)));
        keep_prefix(list, &p, &order, f64::from(params.top_p), min_keep);
    }
    if params.min_p > 0.0 {
        let p = softmax(list);
        let floor = f64::from(params.min_p) * p.iter().copied().fold(0.0, f64::max);
        let count = p.iter().filter(|p| **p >= floor).count();
        keep_best(list, count.max(min_keep));
    }
    if params.xtc_probability > 0.0 && coin {
        let p = softmax(list);
        let threshold = f64::from(params.xtc_threshold);
        let mut tops: Vec<usize> = (0..list.len()).filter(|i| p[*i] >= threshold).collect();
        tops.sort_by(|a, b| list[*b].1.total_cmp(&list[*a].1).then(a.cmp(b)));
        tops.pop();
        if list.len() - tops.len() >= min_keep {
            let gone: Vec<usize> = tops.iter().map(|i| list[*i].0).collect();
            list.retain(|(id, _)| !gone.contains(id));
        }
    }
}

fn temperature(params: &SamplingParams, list: &[(usize, f64)]) -> f64 {
    let (t, r) = (f64::from(params.temperature), f64::from(params.dynatemp_range));
    if r == 0.0 {
        return t;
    }
    let entropy: f64 = -softmax(list).iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f64>();
    let share = if list.len() < 2 { 1.0 } else { entropy / (list.len() as f64).ln() };
    let low = (t - r).max(0.0);
    low + (t + r - low) * share.max(0.0).powf(f64::from(params.dynatemp_exponent))
}

fn softmax(list: &[(usize, f64)]) -> Vec<f64> {
    let max = list.iter().map(|(_, l)| *l).fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = list.iter().map(|(_, l)| (l - max).exp()).sum();
    list.iter().map(|(_, l)| (l - max).exp() / total).collect()
}

fn by_falling(list: &[(usize, f64)]) -> Vec<(usize, f64)> {
    let mut sorted = list.to_vec();
    sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    sorted
}

fn keep_best(list: &mut Vec<(usize, f64)>, k: usize) {
    let mut sorted = by_falling(list);
    sorted.truncate(k);
    sorted.sort_by_key(|(id, _)| *id);
    *list = sorted;
}

fn keep_prefix(list: &mut Vec<(usize, f64)>, p: &[f64], order: &[usize], mass: f64, min_keep: usize) {
    let (mut held, mut kept) = (0.0, Vec::new());
    for &i in order {
        if held >= mass && kept.len() >= min_keep {
            break;
        }
        held += p[i];
        kept.push(i);
    }
    kept.sort_unstable();
    *list = kept.iter().map(|i| list[*i]).collect();
}

fn zip_keep(list: &[(usize, f64)], p: &[f64], keep: impl Fn(f64) -> bool) -> Vec<(usize, f64)> {
    list.iter().zip(p).filter(|(_, p)| keep(**p)).map(|(entry, _)| *entry).collect()
}
