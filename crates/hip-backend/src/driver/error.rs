//! What can go wrong between the host and a device.

use std::fmt;

use super::Status;

/// One failed HIP call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Name of the HIP function.
    pub call: &'static str,
    /// What it answered.
    pub status: Status,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered {}", self.call, self.status)
    }
}

/// Every failure of the driver layer. Calls that HIP refused carry their name, the status and the sizes; what is
/// refused before HIP is asked names the thing, the limit and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HipError {
    /// A HIP call failed, and the device still works.
    #[error("{fault}{}", OfBytes(*bytes))]
    Call {
        /// The call and its status.
        fault: Fault,
        /// Bytes that the call was to copy, fill or allocate; 0 where it has no size.
        bytes: u64,
    },
    /// The device has too little memory left.
    #[error("out of device memory for {what}: {requested} bytes asked, {free} of {total} bytes free")]
    OutOfMemory {
        /// What the memory was for, or the call that ran out of it.
        what: &'static str,
        /// Bytes asked for, 0 where HIP itself allocates.
        requested: u64,
        /// Free bytes afterwards, 0 if the device could not say.
        free: u64,
        /// Bytes of the device, 0 if it could not say.
        total: u64,
    },
    /// The allocation would pass the budget of this device; HIP was not asked.
    #[error("memory budget passed by {what}: {requested} bytes asked, {in_use} of {budget} bytes in use")]
    OverBudget {
        /// What the memory was for.
        what: &'static str,
        /// Bytes asked for.
        requested: u64,
        /// Bytes allocated now.
        in_use: u64,
        /// The limit set by `Device::set_budget`.
        budget: u64,
    },
    /// An earlier call found the device faulted or gone. Nothing on it can be used any more in this process.
    #[error("device {ordinal} is lost since {first}")]
    DeviceLost {
        /// The device's number.
        ordinal: u32,
        /// The call that found out.
        first: Fault,
    },
    /// Something could not be released properly earlier. Reported once, by the next call on the device, which then
    /// does nothing else.
    #[error("an earlier release failed: {fault}")]
    EarlierRelease {
        /// The call and its status.
        fault: Fault,
    },
    /// HIP reported success, and gave no handle.
    #[error("{call} succeeded without giving a handle")]
    NullHandle {
        /// Name of the HIP function.
        call: &'static str,
    },
    /// There is no device with this number.
    #[error("no HIP device {ordinal}: {}", Devices(*count))]
    NoSuchDevice {
        /// The number asked for.
        ordinal: u32,
        /// How many devices there are.
        count: u32,
    },
    /// A device describes itself in a way that cannot be true.
    #[error("HIP device {ordinal} reports {property} = {found}")]
    ImplausibleDevice {
        /// The device's number.
        ordinal: u32,
        /// The property.
        property: &'static str,
        /// Its value.
        found: String,
    },
    /// A launch that the device cannot run; HIP was not asked.
    #[error("kernel `{kernel}`: {what} is {found}, allowed is {least} to {most}")]
    BadLaunch {
        /// Name of the kernel.
        kernel: String,
        /// The dimension that does not fit.
        what: &'static str,
        /// Its value.
        found: u64,
        /// The smallest value allowed.
        least: u64,
        /// The largest value allowed.
        most: u64,
    },
    /// A range reaches behind the memory it selects from.
    #[error("{what}: bytes {start}..{end} of {len}")]
    OutOfRange {
        /// What the range selects from.
        what: &'static str,
        /// First byte.
        start: u64,
        /// End of the range.
        end: u64,
        /// Length of the memory.
        len: u64,
    },
    /// An address range of a copy or fill that lies in no live buffer of the device.
    #[error("{call}: no live buffer holds {bytes} bytes at {address:#x}")]
    UnknownMemory {
        /// Name of the HIP function that was not called.
        call: &'static str,
        /// First address.
        address: u64,
        /// Length of the range.
        bytes: u64,
    },
    /// Two lengths that must agree do not.
    #[error("{what}: expected {expected}, found {found}")]
    LengthMismatch {
        /// What was counted.
        what: &'static str,
        /// The length it must have.
        expected: u64,
        /// The length it has.
        found: u64,
    },
    /// Pinned memory that a copy may still read or write. Wait for the stream, or for an event recorded after the
    /// copy.
    #[error("pinned memory of {len} bytes is in use by a copy that nobody has waited for")]
    InFlight {
        /// Length of the memory.
        len: u64,
    },
    /// Not allowed while the stream records a graph, or allowed only then.
    #[error("{call} is not allowed while its stream records a graph")]
    WhileCapturing {
        /// Name of the HIP function that was not called.
        call: &'static str,
    },
    /// Objects of two devices in one call.
    #[error("{call}: an object of device {found} used on device {expected}")]
    WrongDevice {
        /// Name of the HIP function that was not called.
        call: &'static str,
        /// The device of the call.
        expected: u32,
        /// The device of its argument.
        found: u32,
    },
    /// A code object that the device cannot load.
    #[error("code object `{name}` does not load on {arch}: {problem}")]
    BadImage {
        /// Name of the module.
        name: String,
        /// Architecture of the device with its features.
        arch: String,
        /// What is wrong.
        problem: String,
    },
    /// A module has no kernel of this name.
    #[error("code object `{module}` has no kernel `{kernel}`")]
    NoSuchKernel {
        /// Name of the module.
        module: String,
        /// The name that was looked for.
        kernel: String,
    },
    /// An event that was never recorded, where its time or its end is asked for.
    #[error("{call}: the event was never recorded")]
    NotRecorded {
        /// Name of the HIP function that was not called.
        call: &'static str,
    },
}

impl HipError {
    /// Whether less memory would have worked.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::OutOfMemory { .. } | Self::OverBudget { .. })
    }

    /// Whether the device cannot be used any more in this process.
    pub fn is_device_lost(&self) -> bool {
        matches!(self, Self::DeviceLost { .. })
    }

    /// HIP's status, where HIP was asked.
    pub fn status(&self) -> Option<Status> {
        match self {
            Self::Call { fault, .. } | Self::EarlierRelease { fault } => Some(fault.status),
            Self::DeviceLost { first, .. } => Some(first.status),
            Self::OutOfMemory { .. } => Some(Status::OUT_OF_MEMORY),
            _ => None,
        }
    }
}

struct OfBytes(u64);

impl fmt::Display for OfBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            bytes => write!(f, " for {bytes} bytes"),
        }
    }
}

struct Devices(u32);

impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("the runtime sees none"),
            1 => f.write_str("there is only device 0"),
            count => write!(f, "devices are 0 to {}", count - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_thing_the_limit_and_what_was_found() {
        let fault = Fault { call: "hipMemcpyAsync", status: Status::NOT_READY };
        let text = |error: HipError| error.to_string();
        assert_eq!(
            text(HipError::Call { fault, bytes: 64 }),
            "hipMemcpyAsync answered hipErrorNotReady (600) for 64 bytes"
        );
        assert_eq!(text(HipError::Call { fault, bytes: 0 }), "hipMemcpyAsync answered hipErrorNotReady (600)");
        assert_eq!(
            text(HipError::DeviceLost { ordinal: 1, first: fault }),
            "device 1 is lost since hipMemcpyAsync answered hipErrorNotReady (600)"
        );
        assert_eq!(text(HipError::NoSuchDevice { ordinal: 3, count: 2 }), "no HIP device 3: devices are 0 to 1");
        assert_eq!(text(HipError::NoSuchDevice { ordinal: 0, count: 0 }), "no HIP device 0: the runtime sees none");
    }

    #[test]
    fn an_error_stays_small_enough_to_return() {
        assert!(size_of::<HipError>() <= 96, "{}", size_of::<HipError>());
    }
}
