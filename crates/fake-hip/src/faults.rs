//! Failures on demand: which call goes wrong, when, and how.

use std::thread::ThreadId;
use std::time::Duration;

/// What happens to a call that a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// Returns this status and does nothing.
    Fail(u32),
    /// Ends the process.
    Abort,
    /// Takes this long.
    Sleep(Duration),
    /// Succeeds, but what it should write stays as it was.
    Unwritten,
    /// Succeeds and makes nothing: the handle or pointer is null.
    Null,
}

/// One fault with the number of calls that it has seen.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    call: Option<String>,
    at: u64,
    sticky: bool,
    thread: Option<ThreadId>,
    action: Action,
    seen: u64,
}

/// What a call is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Verdict {
    pub fail: Option<u32>,
    pub abort: bool,
    pub sleep: Option<Duration>,
    pub unwritten: bool,
    pub null: bool,
}

impl Fault {
    /// Reads words such as `call=hipMalloc at=3 fail=2 sticky`, as the crate's README tells.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (mut call, mut at, mut sticky, mut thread, mut action) = (None, 1, false, None, None);
        for word in text.split_whitespace() {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let number = || value.parse::<u64>().map_err(|_| format!("`{word}`: not a number"));
            match key {
                "call" => call = Some(value.to_string()),
                "at" => at = number()?.max(1),
                "sticky" => sticky = true,
                "once" => sticky = false,
                "thread" => thread = Some(std::thread::current().id()),
                "fail" => action = Some(Action::Fail(number()? as u32)),
                "abort" => action = Some(Action::Abort),
                "sleep" => action = Some(Action::Sleep(Duration::from_millis(number()?))),
                "unwritten" => action = Some(Action::Unwritten),
                "null" => action = Some(Action::Null),
                _ => return Err(format!("`{word}`: no word of a fault")),
            }
        }
        let action = action.ok_or_else(|| format!("`{text}`: says none of fail, abort, sleep, unwritten and null"))?;
        Ok(Self { call, at, sticky, thread, action, seen: 0 })
    }

    /// Several faults with semicolons between them.
    pub(crate) fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        text.split(';').filter(|part| !part.trim().is_empty()).map(Self::parse).collect()
    }

    fn hits(&mut self, call: &str) -> bool {
        let other_call = self.call.as_deref().is_some_and(|name| name != call);
        let other_thread = self.thread.is_some_and(|thread| thread != std::thread::current().id());
        if other_call || other_thread {
            return false;
        }
        self.seen += 1;
        if self.sticky { self.seen >= self.at } else { self.seen == self.at }
    }
}

/// Counts a call with every fault; what those that it hits want together.
pub(crate) fn judge(faults: &mut [Fault], call: &str) -> Verdict {
    let mut verdict = Verdict::default();
    for fault in faults.iter_mut() {
        if !fault.hits(call) {
            continue;
        }
        match fault.action {
            Action::Fail(code) => verdict.fail = Some(code),
            Action::Abort => verdict.abort = true,
            Action::Sleep(time) => verdict.sleep = Some(time),
            Action::Unwritten => verdict.unwritten = true,
            Action::Null => verdict.null = true,
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(faults: &str, calls: &[&str]) -> Vec<Option<u32>> {
        let mut faults = Fault::parse_list(faults).unwrap();
        calls.iter().map(|call| judge(&mut faults, call).fail).collect()
    }

    #[test]
    fn the_kth_call_of_a_name() {
        let calls = ["hipMalloc", "hipFree", "hipMalloc", "hipMalloc"];
        assert_eq!(failing("call=hipMalloc at=2 fail=2", &calls), [None, None, Some(2), None]);
        assert_eq!(failing("call=hipMalloc at=2 fail=2 sticky", &calls), [None, None, Some(2), Some(2)]);
        assert_eq!(failing("at=2 fail=700; at=4 fail=1", &calls), [None, Some(700), None, Some(1)]);
    }

    #[test]
    fn other_threads_are_left_alone() {
        let mut faults = Fault::parse_list("fail=1 sticky thread").unwrap();
        assert_eq!(judge(&mut faults, "hipFree").fail, Some(1));
        let elsewhere = std::thread::spawn(move || judge(&mut faults, "hipFree").fail).join().unwrap();
        assert_eq!(elsewhere, None);
    }

    #[test]
    fn words_that_mean_nothing() {
        for text in ["call=hipMalloc", "fail=much", "explode", "fail=1 at=soon"] {
            assert!(Fault::parse(text).is_err(), "{text}");
        }
    }
}
