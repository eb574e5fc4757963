//! Answers as a whole.

use rocmforge_chat::ToolCall;
use rocmforge_engine::{PromptLogprob, StopMatch};

use super::{Answers, Encoded, Finish, Piece, PieceKind, TokenInfo, Usage};
use crate::error::ApiError;

/// One whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Its number, counted over all prompts.
    pub choice: u32,
    /// The number of its prompt.
    pub prompt: usize,
    /// The text.
    pub text: String,
    /// The reasoning before it.
    pub reasoning: String,
    /// The calls that the model wants made; each has an id.
    pub calls: Vec<ToolCall>,
    /// The tokens, without the one that ended it.
    pub tokens: Vec<TokenInfo>,
    /// Log-probabilities of the prompt, if asked for.
    pub prompt_logprobs: Vec<Option<PromptLogprob>>,
    /// Why it ended.
    pub finish: Finish,
    /// What ended it, where that was not the model's own end.
    pub stop: Option<StopMatch>,
}

/// All answers of a job.
#[derive(Debug, Clone)]
pub struct Collected {
    /// The answers in order: the best `n` of each prompt.
    pub answers: Vec<Answer>,
    /// The prompts.
    pub prompts: Vec<Encoded>,
    /// Counts.
    pub usage: Usage,
}

impl Answer {
    fn new(choice: u32, prompt: usize) -> Self {
        Self {
            choice,
            prompt,
            text: String::new(),
            reasoning: String::new(),
            calls: Vec::new(),
            tokens: Vec::new(),
            prompt_logprobs: Vec::new(),
            finish: Finish::Stop,
            stop: None,
        }
    }

    /// Adds a piece.
    fn push(&mut self, piece: Piece) {
        self.tokens.extend(piece.tokens);
        match piece.kind {
            PieceKind::Prompt(logprobs) => self.prompt_logprobs.extend(logprobs),
            PieceKind::Text(text) => self.text += &text,
            PieceKind::Reasoning(text) => self.reasoning += &text,
            PieceKind::ToolCall { id, name, arguments, .. } => {
                self.calls.push(ToolCall { name, arguments, id: Some(id) });
            }
            PieceKind::Finished { reason, stop } => (self.finish, self.stop) = (reason, stop),
        }
    }

    /// The mean log-probability of its tokens, by which the best answers are chosen.
    fn score(&self) -> f64 {
        let logprobs = self.tokens.iter().filter_map(|token| token.logprob).map(f64::from);
        logprobs.sum::<f64>() / self.tokens.len().max(1) as f64
    }
}

impl Answers {
    /// Waits for all answers.
    ///
    /// # Errors
    /// The first failure.
    pub async fn collect(mut self) -> Result<Collected, ApiError> {
        let each = self.sequences() as usize;
        let answer = |choice: u32| Answer::new(choice, choice as usize / each);
        let mut answers: Vec<Answer> = (0..self.choices()).map(answer).collect();
        while let Some(piece) = self.next().await {
            let piece = piece?;
            if let Some(answer) = answers.get_mut(piece.choice as usize) {
                answer.push(piece);
            }
        }
        share_prompt_logprobs(&mut answers, each);
        let answers = best(answers, each, self.wanted() as usize);
        let usage = *self.usage();
        Ok(Collected { answers, prompts: self.into_prompts(), usage })
    }
}

/// What came with the first answer to a prompt belongs to all of them.
fn share_prompt_logprobs(answers: &mut [Answer], each: usize) {
    for group in answers.chunks_mut(each) {
        if let Some((first, others)) = group.split_first_mut() {
            others.iter_mut().for_each(|other| other.prompt_logprobs.clone_from(&first.prompt_logprobs));
        }
    }
}

/// Of each `each` answers the `keep` best, numbered anew.
fn best(answers: Vec<Answer>, each: usize, keep: usize) -> Vec<Answer> {
    if each <= keep {
        return answers;
    }
    let mut kept = Vec::new();
    for group in answers.chunks(each) {
        let mut group = group.to_vec();
        group.sort_by(|a, b| b.score().total_cmp(&a.score()));
        group.truncate(keep);
        kept.append(&mut group);
    }
    for (choice, answer) in (0..).zip(&mut kept) {
        answer.choice = choice;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_those_of_the_highest_mean() {
        let answer = |choice: u32, logprobs: &[f32]| {
            let tokens = logprobs.iter().map(|p| TokenInfo { token: 0, logprob: Some(*p), top: Vec::new() });
            Answer { tokens: tokens.collect(), text: choice.to_string(), ..Answer::new(choice, 0) }
        };
        let answers = vec![answer(0, &[-2.0]), answer(1, &[-1.0, -1.0, -1.0]), answer(2, &[-0.1]), answer(3, &[-9.0])];
        let texts = |kept: Vec<Answer>| kept.into_iter().map(|a| (a.choice, a.text)).collect::<Vec<_>>();
        assert_eq!(texts(best(answers.clone(), 2, 1)), [(0, "1".to_owned()), (1, "2".to_owned())]);
        assert_eq!(texts(best(answers, 4, 2)), [(0, "2".to_owned()), (1, "1".to_owned())]);
    }
}
