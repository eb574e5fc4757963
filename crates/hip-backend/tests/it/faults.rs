//! Walking a failure through every call that a scenario makes.
//!
//! A scenario runs once without a fault; what it returns then is the right answer. After that the first call of the HIP
//! library fails, then the second, and so on until the scenario makes no further call, for every status, once only and
//! from that call on. Each run ends in the right answer or in an error that names the status. Nothing leaks, nothing
//! panics, and the scenario works again afterwards, unless the device is lost or refused to release something for ever.

use std::fmt::{Debug, Display};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use fake_hip::Fault;
use hip_sys::hipError_t;
use rocmforge_hip_backend::driver::Device;

use crate::device::PrivateFake;

/// Statuses that mean different things: bad arguments, no memory, bad launches, no device, code objects of every kind
/// of wrong, uncorrectable memory, illegal addresses, hangs, traps and whatever else.
pub const STATUSES: &[u32] =
    &[1, 2, 9, 98, 100, 101, 200, 209, 214, 218, 301, 303, 500, 700, 701, 702, 710, 719, 720, 999];

/// One status of each class, for scenarios that take long.
#[allow(dead_code, reason = "for scenarios of whole models")]
pub const FEW_STATUSES: &[u32] = &[1, 2, 98, 209, 700, 701, 719, 999];

/// How many runs ended how.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Walked {
    /// Calls of the scenario without a fault.
    pub calls: u64,
    /// Runs with a fault that ended in the right answer all the same.
    pub answers: u64,
    /// Runs that ended in an error.
    pub errors: u64,
    /// Runs after which the device was lost.
    pub lost: u64,
}

/// When a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The call fails, and later ones do not.
    Once,
    /// The call and all later ones fail.
    Sticky,
}

/// Walks all faults through a scenario on device 0, whose opening is not part of it. The scenario releases what it
/// makes.
pub fn walk<T: PartialEq + Debug, E: Display>(
    fake: &PrivateFake,
    statuses: &[u32],
    scenario: impl Fn(&Device) -> Result<T, E>,
) -> Walked {
    let device = fake.device(0);
    let before = fake.fake.calls();
    let right = scenario(&device).unwrap_or_else(|error| panic!("without a fault: {error}"));
    let mut walked = Walked { calls: fake.fake.calls() - before, ..Walked::default() };
    drop(device);
    for &status in statuses {
        for mode in [Mode::Once, Mode::Sticky] {
            let runs = (1..).map(|call| Run { fake, call, status, mode });
            let _ = runs.map(|run| run.go(&scenario, &right, &mut walked)).find(|was_hit| !was_hit);
        }
    }
    walked
}

/// The scenario with one fault.
struct Run<'a> {
    fake: &'a PrivateFake,
    /// The call that fails, from 1.
    call: u64,
    status: u32,
    mode: Mode,
}

impl Run<'_> {
    /// Whether the scenario came as far as the call.
    fn go<T: PartialEq + Debug, E: Display>(
        &self,
        scenario: &impl Fn(&Device) -> Result<T, E>,
        right: &T,
        walked: &mut Walked,
    ) -> bool {
        let at = format!("call {} answers {}, {:?}", self.call, self.status, self.mode);
        let live = self.fake.live();
        let device = self.fake.device(0);
        let calls = self.fake.fake.calls();
        self.arm();
        let result = catch_unwind(AssertUnwindSafe(|| scenario(&device))).unwrap_or_else(|panic| {
            eprintln!("{at}: the scenario panics");
            resume_unwind(panic)
        });
        self.fake.fake.clear_faults();
        let was_hit = self.fake.fake.calls() - calls >= self.call;
        match &result {
            Ok(answer) => assert_eq!(answer, right, "{at}: a wrong answer"),
            Err(error) => self.check_error(&at, &error.to_string()),
        }
        walked.answers += u64::from(was_hit && result.is_ok());
        walked.errors += u64::from(result.is_err());
        self.check_counts(&at, &device, live);
        walked.lost += u64::from(device.lost().is_some());
        if device.lost().is_some() || self.mode == Mode::Sticky && device.memory_use().failed_releases > 0 {
            // What the driver refused to end or release may stand in the way of anything.
            drop(device);
            crate::launch::reset_device(&self.fake.api);
        } else {
            // What a release left to report is reported here.
            let _ = device.memory();
            let again = scenario(&device).unwrap_or_else(|error| panic!("{at}: afterwards: {error}"));
            assert_eq!(&again, right, "{at}: a wrong answer afterwards");
        }
        was_hit
    }

    fn arm(&self) {
        let fault = Fault::fail(hipError_t(self.status)).at(self.call);
        self.fake.fail(if self.mode == Mode::Sticky { fault.sticky() } else { fault });
    }

    /// The error names the status, or is the type that stands for it.
    fn check_error(&self, at: &str, error: &str) {
        let types = match self.status {
            2 => "out of device memory",
            100 => "no HIP device",
            500 => "has no kernel",
            _ => "\0",
        };
        let named = error.contains(&format!("({})", self.status)) || error.contains(types);
        assert!(named, "{at}: the error says `{error}`");
    }

    /// Every allocation was released, and the driver knows nothing more than before, but for what it refused to
    /// release itself.
    fn check_counts(&self, at: &str, device: &Device, before: (u64, u64)) {
        let counts = device.memory_use();
        assert_eq!((counts.buffers, counts.bytes, counts.pinned, counts.pinned_bytes), (0, 0, 0, 0), "{at}");
        assert_eq!(counts.allocations, counts.releases, "{at}");
        if device.lost().is_some() {
            return;
        }
        let after = self.fake.live();
        let leaked = (after.0 - before.0) + (after.1 - before.1);
        assert!(leaked <= counts.failed_releases, "{at}: {leaked} leaked, {counts:?}");
        if self.mode == Mode::Once {
            assert!(counts.failed_releases <= 1, "{at}: {counts:?}");
        }
    }
}

/// Walks all faults through a scenario that opens devices itself and holds none in the end.
pub fn walk_opening<T: PartialEq + Debug, E: Display>(
    fake: &PrivateFake,
    statuses: &[u32],
    scenario: impl Fn(&PrivateFake) -> Result<T, E>,
) -> Walked {
    let before = fake.fake.calls();
    let right = scenario(fake).unwrap_or_else(|error| panic!("without a fault: {error}"));
    let mut walked = Walked { calls: fake.fake.calls() - before, ..Walked::default() };
    for &status in statuses {
        for mode in [Mode::Once, Mode::Sticky] {
            for call in 1..=walked.calls {
                let run = Run { fake, call, status, mode };
                let at = format!("call {call} answers {status}, {mode:?}");
                let live = fake.live();
                run.arm();
                let result = scenario(fake);
                fake.fake.clear_faults();
                match result {
                    Ok(_) => walked.answers += 1,
                    Err(error) => {
                        walked.errors += 1;
                        run.check_error(&at, &error.to_string());
                    }
                }
                assert_eq!(fake.live(), live, "{at}");
                let again = scenario(fake).unwrap_or_else(|error| panic!("{at}: afterwards: {error}"));
                assert_eq!(again, right, "{at}: a wrong answer afterwards");
            }
        }
    }
    walked
}
