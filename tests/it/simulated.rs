//! The engine under random requests, on a backend whose next token is a hash of all tokens before it: whatever goes
//! wrong with blocks, rows or sequences changes an answer. `ROCMFORGE_SIMULATED_SEEDS` asks for more seeds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rocmforge_engine::{
    CancelToken, ClientId, Engine, EngineError, EngineOptions, Event, FinishReason, ModelFile, Pooling, Request,
    RequestId, Space,
};
use rocmforge_program::Program;
use rocmforge_program::backend::{
    Backend, BackendError, BlockMove, CacheId, CacheSpec, DeviceInfo, ModelId, StepInput, StepLimits, StepOutput,
    StepTicket, WeightSource,
};
use rocmforge_sampler::SamplingParams;

/// Of all tokens before and with this one.
fn mix(before: u64, token: u32) -> u64 {
    let x = (before ^ u64::from(token)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The token that follows; now and then one that ends the answer.
fn next_token(hash: u64, vocab_size: usize, end: u32) -> u32 {
    if hash.is_multiple_of(23) { end } else { (hash >> 20) as u32 % vocab_size as u32 }
}

/// What memory holds before it is written.
const POISON: u64 = 0xdead_beef_dead_beef;

/// What a test does to the backend.
#[derive(Default)]
struct Faults {
    /// Steps until one does not fit in memory, from 1; 0: none.
    out_of_memory: AtomicU32,
    /// Steps until the device fails, from 1; 0: never.
    failure: AtomicU32,
}

fn strikes(count: &AtomicU32) -> bool {
    let left = count.load(Ordering::Relaxed);
    count.store(left.saturating_sub(1), Ordering::Relaxed);
    left == 1
}

/// Each place of a cache holds the hash of its token and all before it.
struct HashBackend {
    info: DeviceInfo,
    vocab_size: usize,
    hidden_size: usize,
    end: u32,
    block_size: usize,
    blocks: Vec<u64>,
    slots: Vec<u64>,
    output: Option<StepOutput>,
    faults: Arc<Faults>,
}

impl HashBackend {
    fn compute(&mut self, step: &StepInput) -> StepOutput {
        let mut hashes = Vec::with_capacity(step.tokens.len());
        let mut tokens = step.tokens.iter();
        for sequence in &step.sequences {
            let place = |position: usize| {
                sequence.block_table[position / self.block_size] as usize * self.block_size + position % self.block_size
            };
            for position in sequence.first_position()..sequence.context_len {
                let before = if position == 0 { 0 } else { self.blocks[place(position - 1)] };
                let hash = mix(before, *tokens.next().expect("as many as the sequences say"));
                self.blocks[place(position)] = hash;
                hashes.push(hash);
            }
        }
        let mut output = StepOutput::default();
        for (row, &token) in step.wanted.iter().enumerate() {
            let hash = hashes[token as usize];
            if step.is_hidden(row) {
                output.hidden.extend((0..self.hidden_size).map(|i| (mix(hash, i as u32) % 1000) as f32));
                continue;
            }
            let chosen = next_token(hash, self.vocab_size, self.end) as usize;
            output.logits.extend((0..self.vocab_size).map(|i| if i == chosen { 9.0 } else { 0.0 }));
        }
        output
    }
}

impl Backend for HashBackend {
    fn device(&self) -> &DeviceInfo {
        &self.info
    }

    fn load(&mut self, program: &Program, _: Arc<dyn WeightSource>, _: StepLimits) -> Result<ModelId, BackendError> {
        (self.vocab_size, self.hidden_size) = (program.vocab_size, program.hidden_size());
        Ok(ModelId(0))
    }

    fn make_cache(&mut self, _: ModelId, spec: CacheSpec) -> Result<CacheId, BackendError> {
        self.block_size = spec.block_size;
        self.blocks = vec![POISON; spec.block_size * spec.num_blocks];
        self.slots = vec![POISON; spec.block_size * spec.host_slots];
        Ok(CacheId(0))
    }

    fn submit(&mut self, _: ModelId, _: CacheId, step: &StepInput) -> Result<StepTicket, BackendError> {
        if strikes(&self.faults.out_of_memory) {
            return Err(BackendError::OutOfMemory { what: "a step".into(), needed: 2, available: 1 });
        }
        if strikes(&self.faults.failure) {
            self.blocks.fill(POISON);
            self.slots.fill(POISON);
            return Err(BackendError::Device("it failed".into()));
        }
        self.output = Some(self.compute(step));
        Ok(StepTicket(0))
    }

    fn wait(&mut self, _: StepTicket) -> Result<StepOutput, BackendError> {
        Ok(self.output.take().expect("a step is under way"))
    }

    fn move_blocks(&mut self, _: CacheId, moves: &[BlockMove]) -> Result<(), BackendError> {
        let range = |n: u32| n as usize * self.block_size..(n as usize + 1) * self.block_size;
        for moved in moves {
            match *moved {
                BlockMove::Copy { from, to } => self.blocks.copy_within(range(from), range(to).start),
                BlockMove::Save { block, slot } => self.slots[range(slot)].copy_from_slice(&self.blocks[range(block)]),
                BlockMove::Load { slot, block } => self.blocks[range(block)].copy_from_slice(&self.slots[range(slot)]),
            }
        }
        Ok(())
    }
}

/// Random numbers that a seed repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = mix(self.0, 1);
        (self.0 >> 11) as usize % bound
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// What is known of a request.
struct Asked {
    prompt: Vec<u32>,
    max_tokens: usize,
    answers: Vec<Told>,
    prompt_logprobs: Option<usize>,
    pooling: Option<Pooling>,
    vectors: usize,
    cancel: CancelToken,
    is_cancelled: bool,
    is_over: bool,
}

#[derive(Default)]
struct Told {
    tokens: Vec<u32>,
    reason: Option<FinishReason>,
}

struct World {
    engine: Engine,
    faults: Arc<Faults>,
    random: Random,
    asked: HashMap<RequestId, Asked>,
    prefixes: Vec<Vec<u32>>,
    vocab_size: usize,
    /// The model's end tokens; the first is the one that hashes choose on purpose.
    ends: Vec<u32>,
    may_fail: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        static FILE: Mutex<Option<Arc<ModelFile>>> = Mutex::new(None);
        let file = FILE
            .lock()
            .expect("no test panicked here")
            .get_or_insert_with(|| {
                Arc::new(
                    ModelFile::from_static(rocmforge_demo_model::NAME, rocmforge_demo_model::GGUF)
                        .expect("it is valid"),
                )
            })
            .clone();
        let mut random = Random(mix(seed, 0));
        let faults = Arc::new(Faults::default());
        let mut backend = Box::new(HashBackend {
            info: DeviceInfo { name: "hashes".into(), memory_bytes: None },
            vocab_size: 0,
            hidden_size: 0,
            end: 0,
            block_size: 0,
            blocks: Vec::new(),
            slots: Vec::new(),
            output: None,
            faults: faults.clone(),
        });
        let tokenizer = rocmforge_tokenizer::Tokenizer::from_gguf(file.gguf().metadata()).expect("it has one");
        let ends = tokenizer.stop_tokens().to_vec();
        backend.end = ends[0];
        let max_sequences = 1 + random.below(12);
        let options = EngineOptions {
            context_length: Some(128),
            cache_tokens: Some(128 + 16 * random.below(60)),
            host_cache_tokens: [0, 160, 1600][random.below(3)],
            max_sequences,
            tokens_per_step: Some(max_sequences + random.below(80)),
            block_size: [4, 16, 32][random.below(3)],
            max_queue_size: 40,
            embeddings: true,
            mixed_step_time: Duration::from_secs(3600),
            ..EngineOptions::default()
        };
        let engine = Engine::with_backend(file, backend, options).expect("the sizes are good");
        let vocab_size = engine.program().vocab_size;
        let prefixes =
            (0..4).map(|_| (0..random.below(90)).map(|_| random.below(vocab_size) as u32).collect()).collect();
        Self {
            engine,
            faults,
            random,
            asked: HashMap::new(),
            prefixes,
            vocab_size,
            ends,
            may_fail: seed.is_multiple_of(3),
        }
    }

    fn submit(&mut self) {
        let random = &mut self.random;
        let mut prompt = if random.one_in(3) { Vec::new() } else { self.prefixes[random.below(4)].clone() };
        let most = if random.one_in(5) { 60 } else { 8 };
        let own = 1 + random.below(most);
        prompt.extend((0..own).map(|_| random.below(self.vocab_size) as u32));
        let kind = random.below(12);
        let cancel = CancelToken::new();
        let request = Request {
            max_tokens: (!random.one_in(6)).then(|| random.below(30)),
            sequences: if random.one_in(4) { 1 + random.below(4) as u32 } else { 1 },
            prompt_logprobs: (kind == 0).then_some(1),
            pooling: [Some(Pooling::Mean), Some(Pooling::Last)].get(kind.wrapping_sub(1)).copied().flatten(),
            client: ClientId(random.below(3) as u64),
            priority: random.below(3) as i32,
            space: Space { adapter: random.below(2) as u64, ..Space::default() },
            sampling: SamplingParams { temperature: 0.0, ..SamplingParams::default() },
            cancel: cancel.clone(),
            ..Request::new(prompt.clone())
        };
        let (sequences, pooling) = (request.sequences, request.pooling);
        let sequences = if pooling.is_some() { 1 } else { sequences };
        let request = Request { sequences, ..request };
        let room = self.engine.context_length().saturating_sub(prompt.len());
        let max_tokens = if pooling.is_some() { 0 } else { request.max_tokens.map_or(room, |most| most.min(room)) };
        let prompt_logprobs = request.prompt_logprobs.filter(|_| pooling.is_none()).map(|_| 0);
        match self.engine.submit(request) {
            Ok(id) => {
                let asked = Asked {
                    prompt,
                    max_tokens,
                    answers: (0..sequences).map(|_| Told::default()).collect(),
                    prompt_logprobs,
                    pooling,
                    vectors: 0,
                    cancel,
                    is_cancelled: false,
                    is_over: false,
                };
                self.asked.insert(id, asked);
            }
            Err(EngineError::PromptTooLong { .. }) => assert!(prompt.len() >= self.engine.context_length()),
            Err(EngineError::BadOption { .. }) => {}
            Err(EngineError::Refused(_)) => assert!(self.engine.usage().waiting >= 40),
            Err(error) => panic!("{error}"),
        }
    }

    fn cancel(&mut self) {
        let open: Vec<RequestId> = self.asked.iter().filter(|(_, a)| !a.is_over).map(|(id, _)| *id).collect();
        if let Some(id) = open.iter().min() {
            let asked = self.asked.get_mut(id).expect("it is there");
            asked.cancel.cancel();
            asked.is_cancelled = true;
        }
    }

    fn step(&mut self) {
        let (asked, mut failed) = (&mut self.asked, false);
        let result = self.engine.step(&mut |event| {
            failed |= matches!(&event, Event::Finished { reason: FinishReason::Error(_), .. });
            let asked = asked.get_mut(&event.request()).expect("it was asked");
            asked.take(event);
        });
        assert!(self.may_fail || (result.is_ok() && !failed), "{result:?}");
    }

    fn run(&mut self, operations: usize) {
        for _ in 0..operations {
            match self.random.below(20) {
                0..=5 => self.submit(),
                6 if self.random.one_in(2) => self.cancel(),
                7 if self.may_fail => {
                    self.faults.out_of_memory.store(1 + self.random.below(4) as u32, Ordering::Relaxed)
                }
                8 if self.may_fail && self.random.one_in(4) => self.faults.failure.store(1, Ordering::Relaxed),
                _ => self.step(),
            }
            let usage = self.engine.cache_usage();
            assert!(usage.used <= usage.total());
        }
        self.faults.failure.store(0, Ordering::Relaxed);
        let mut steps = 0;
        while !self.engine.is_idle() {
            self.step();
            steps += 1;
            assert!(steps < 100_000, "it never ends: {:?}", self.engine.usage());
        }
        assert_eq!(self.engine.cache_usage().used, 0, "every block came back");
        for (id, asked) in &self.asked {
            asked.check(*id, self.vocab_size, &self.ends, self.may_fail);
        }
    }
}

impl Asked {
    fn take(&mut self, event: Event) {
        assert!(!self.is_over, "nothing follows the last event");
        match event {
            Event::PromptLogprobs { logprobs, .. } => {
                *self.prompt_logprobs.as_mut().expect("they were asked for") += logprobs.len();
            }
            Event::Embedding { .. } => self.vectors += 1,
            Event::Token { index, token, .. } => {
                let told = &mut self.answers[index as usize];
                assert_eq!(told.reason, None, "no token follows an end");
                told.tokens.push(token);
            }
            Event::Finished { index, reason, usage, is_last, .. } => {
                let told = &mut self.answers[index as usize];
                assert_eq!(told.reason.replace(reason), None, "an answer ends once");
                assert_eq!((usage.prompt_tokens, usage.completion_tokens), (self.prompt.len(), told.tokens.len()));
                self.is_over = is_last;
            }
        }
    }

    fn check(&self, id: RequestId, vocab_size: usize, ends: &[u32], may_fail: bool) {
        assert!(self.is_over, "{id:?} has not ended");
        let mut expected = Vec::new();
        let mut hash = self.prompt.iter().fold(0, |hash, &token| mix(hash, token));
        let is_end = |token: Option<&u32>| token.is_some_and(|token| ends.contains(token));
        while expected.len() < self.max_tokens && !is_end(expected.last()) {
            let token = next_token(hash, vocab_size, ends[0]);
            hash = mix(hash, token);
            expected.push(token);
        }
        let has_ended = is_end(expected.last());
        for told in &self.answers {
            assert!(expected.starts_with(&told.tokens), "{id:?}: {:?}, expected {expected:?}", told.tokens);
            match told.reason.as_ref().expect("every answer ends") {
                FinishReason::Stop => assert!(has_ended && told.tokens == expected),
                FinishReason::Length => assert!(!has_ended && told.tokens == expected),
                FinishReason::Cancelled => assert!(self.is_cancelled),
                FinishReason::Error(why) => assert!(may_fail, "{why}"),
            }
        }
        let is_whole = self.answers.iter().all(|told| told.tokens == expected);
        if is_whole && !self.is_cancelled && !may_fail {
            let all = self.prompt.len();
            assert!(self.prompt_logprobs.is_none_or(|told| told == all), "{:?} of {all}", self.prompt_logprobs);
            assert_eq!(self.vectors, usize::from(self.pooling.is_some()));
        }
    }
}

#[test]
fn answers_under_random_load_are_those_of_each_request_alone() {
    let seeds = std::env::var("ROCMFORGE_SIMULATED_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60);
    for seed in 0..seeds {
        let result = std::panic::catch_unwind(|| World::new(seed).run(400));
        assert!(result.is_ok(), "seed {seed}");
    }
}
