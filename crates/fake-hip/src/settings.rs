//! What the fake pretends to be and how it behaves: from the environment, or changed by a test.

use std::path::PathBuf;

use crate::say::say;

/// The environment variable of the mode, and what the names of the others begin with.
const MODE: &str = "ROCMFORGE_FAKE_HIP";
/// The mode comes last: it names the devices' target.
const KEYS: &[&str] = &[
    "arch", "devices", "memory", "units", "order", "threads", "check", "deferred", "cxx", "cache", "objects", "counts",
    "mode",
];

/// What kernels are run by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// This processor, which they are compiled for.
    Host,
    /// An emulator that executes code objects for GPUs.
    Emulate,
}

/// In which order the lanes of a kernel run; the numbers are those of `rf/host_run.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Forward,
    Reverse,
    Random(u32),
}

impl Order {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "forward" => Some(Self::Forward),
            "reverse" => Some(Self::Reverse),
            seed => seed.parse().ok().map(Self::Random),
        }
    }

    pub(crate) fn number_and_seed(self) -> (u32, u32) {
        match self {
            Self::Forward => (0, 0),
            Self::Reverse => (1, 0),
            Self::Random(seed) => (2, seed),
        }
    }
}

impl From<Order> for gfx_emu::launch::Order {
    fn from(order: Order) -> Self {
        match order {
            Order::Forward => Self::Forward,
            Order::Reverse => Self::Reverse,
            Order::Random(seed) => Self::Random(seed.into()),
        }
    }
}

/// How accesses beside an allocation are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    Off,
    /// After every launch by the bytes around the allocations.
    Guards,
    /// Also at once, by pages without access around them.
    Pages,
}

impl Check {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "pages" => Some(Self::Pages),
            switch => parse_switch(switch).map(|on| if on { Self::Guards } else { Self::Off }),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub mode: Mode,
    pub arch: String,
    pub devices: usize,
    /// Bytes of each device.
    pub memory: usize,
    /// Compute units of each device.
    pub units: u32,
    pub order: Order,
    /// Threads that share the blocks of a grid; 0: as many as there are cores.
    pub threads: u32,
    pub check: Check,
    /// Enqueued work waits until something waits for it.
    pub deferred: bool,
    pub cxx: Option<PathBuf>,
    pub cache: Option<PathBuf>,
    /// Archive of code objects that hipRTC answers with when kernels are emulated; without it the embedded ones.
    pub objects: Option<PathBuf>,
    /// File that gets a line of figures for each emulated launch.
    pub counts: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Host,
            arch: "gfx1100".into(),
            devices: 1,
            memory: 4 << 30,
            units: 4,
            order: Order::Forward,
            threads: 0,
            check: Check::Guards,
            deferred: false,
            cxx: None,
            cache: None,
            objects: None,
            counts: None,
        }
    }
}

impl Settings {
    /// The defaults with what the environment says; a value that means nothing is told on stderr and left out. With a
    /// mode that means nothing there is no device, since what runs then would not be what was asked for.
    pub(crate) fn from_environment() -> Self {
        let mut settings = Self::default();
        for key in KEYS {
            let variable = if *key == "mode" { MODE.into() } else { format!("{MODE}_{}", key.to_uppercase()) };
            if let Ok(value) = std::env::var(&variable)
                && let Err(reason) = settings.set(key, &value)
            {
                say(&format!("{variable}: {reason}"));
                settings.devices = if *key == "mode" { 0 } else { settings.devices };
            }
        }
        settings
    }

    /// Changes one setting by its name, which is the environment variable's in lower case without its prefix.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let wrong = || format!("`{value}` is no value of `{key}`");
        match key {
            "mode" => self.set_mode(value).map_err(|reason| reason.unwrap_or_else(wrong))?,
            "arch" if self.mode == Mode::Emulate && value != self.arch => {
                return Err(format!("`{value}` is not the target that is emulated, {}", self.arch));
            }
            "arch" if value.starts_with("gfx") || HOST_ARCHS.contains(&value) => self.arch = value.into(),
            "devices" => self.devices = value.parse().map_err(|_| wrong())?,
            "memory" => self.memory = parse_bytes(value).ok_or_else(wrong)?,
            "units" => self.units = value.parse().map_err(|_| wrong())?,
            "order" => self.order = Order::parse(value).ok_or_else(wrong)?,
            "threads" => self.threads = value.parse().map_err(|_| wrong())?,
            "check" => self.check = Check::parse(value).ok_or_else(wrong)?,
            "deferred" => self.deferred = parse_switch(value).ok_or_else(wrong)?,
            "cxx" => self.cxx = Some(value.into()),
            "cache" => self.cache = Some(value.into()),
            "objects" => self.objects = Some(value.into()),
            "counts" => self.counts = Some(value.into()),
            _ if KEYS.contains(&key) => return Err(wrong()),
            _ => return Err(format!("there is no setting `{key}`, only {}", KEYS.join(", "))),
        }
        Ok(())
    }

    /// `host` or `emulate:gfx1100`; an error without a reason is a value that means nothing.
    fn set_mode(&mut self, value: &str) -> Result<(), Option<String>> {
        if value == "host" {
            self.mode = Mode::Host;
            return Ok(());
        }
        let target = value.strip_prefix("emulate:").ok_or(None)?;
        gfx_emu::program::check_target(target).map_err(|error| Some(error.to_string()))?;
        (self.mode, self.arch) = (Mode::Emulate, target.into());
        Ok(())
    }

    /// The arch without its features: `gfx90a` of `gfx90a:sramecc+`.
    pub(crate) fn base_arch(&self) -> &str {
        base_arch(&self.arch)
    }

    /// Lanes of a wave.
    pub(crate) fn wave(&self) -> u32 {
        wave_of(&self.arch)
    }
}

pub(crate) fn base_arch(arch: &str) -> &str {
    arch.split(':').next().unwrap_or(arch)
}

/// Names for no GPU at all, with waves of 32 and of 64 lanes.
const HOST_ARCHS: [&str; 2] = ["host32", "host64"];

/// Lanes of a wave as our kernels are compiled: 64 on gfx9 (CDNA), 32 on RDNA.
pub(crate) fn wave_of(arch: &str) -> u32 {
    let is_cdna = base_arch(arch).len() == "gfx90a".len() && arch.starts_with("gfx9");
    if is_cdna || arch == "host64" { 64 } else { 32 }
}

fn parse_switch(text: &str) -> Option<bool> {
    match text {
        "1" | "on" | "true" => Some(true),
        "0" | "off" | "false" | "" => Some(false),
        _ => None,
    }
}

/// `4096`, `64K`, `256M` or `4G`.
fn parse_bytes(text: &str) -> Option<usize> {
    let shift = match text.chars().last()? {
        'K' => 10,
        'M' => 20,
        'G' => 30,
        _ => 0,
    };
    let digits = if shift > 0 { &text[..text.len() - 1] } else { text };
    digits.parse::<usize>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_by_name() {
        let mut settings = Settings::default();
        for (key, value) in
            [("arch", "gfx942"), ("memory", "64M"), ("order", "17"), ("deferred", "on"), ("check", "pages")]
        {
            settings.set(key, value).unwrap();
        }
        assert_eq!((settings.wave(), settings.memory, settings.deferred), (64, 64 << 20, true));
        assert_eq!(settings.order.number_and_seed(), (2, 17));
        assert!(settings.set("memory", "much").unwrap_err().contains("much"));
        assert!(settings.set("order", "backwards").is_err());
        assert!(settings.set("colour", "red").unwrap_err().contains("deferred"));
    }

    #[test]
    fn a_mode_names_its_target() {
        let mut settings = Settings::default();
        settings.set("mode", "emulate:gfx1101").unwrap();
        assert_eq!((settings.mode, settings.arch.as_str()), (Mode::Emulate, "gfx1101"));
        assert!(settings.set("arch", "gfx942").unwrap_err().contains("gfx1101"));
        let error = settings.set("mode", "emulate:gfx906").unwrap_err();
        assert!(error.contains("gfx906") && error.contains("gfx11xx"), "{error}");
        assert!(settings.set("mode", "dream").unwrap_err().contains("`dream`"));
        settings.set("mode", "host").unwrap();
        settings.set("arch", "gfx942").unwrap();
    }

    #[test]
    fn waves() {
        assert_eq!(wave_of("gfx90a:sramecc+:xnack-"), 64);
        assert_eq!(wave_of("gfx906"), 64);
        assert_eq!(wave_of("gfx1030"), 32);
        assert_eq!(wave_of("gfx1201"), 32);
        assert_eq!((wave_of("host32"), wave_of("host64")), (32, 64));
    }
}
