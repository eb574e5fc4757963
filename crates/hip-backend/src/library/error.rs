//! Why a kernel cannot be had.

use crate::driver::HipError;

/// Why a kernel cannot be had, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// There is neither a code object for the device nor a compiler.
    #[error("{}", no_object(arch, module, embedded, reason))]
    NoObject {
        /// The device's target.
        arch: String,
        /// The module that was asked for.
        module: String,
        /// Targets that this program has code objects for.
        embedded: Vec<&'static str>,
        /// Why hipRTC cannot step in.
        reason: String,
    },
    /// The compiler rejects the source.
    #[error("the kernels `{module}` do not compile for {arch}; hipRTC says:\n{log}")]
    Compile {
        /// The module.
        module: String,
        /// The target.
        arch: String,
        /// The compiler's messages.
        log: String,
    },
    /// A function of hipRTC failed in another way.
    #[error(
        "compiling `{module}` for {arch}: {call}: {message}; is the installed hipRTC of the same release as the HIP runtime?"
    )]
    Rtc {
        /// The module.
        module: String,
        /// The target.
        arch: String,
        /// The function.
        call: &'static str,
        /// What it says.
        message: String,
    },
    /// The table has no such module: our mistake.
    #[error("there is no kernel module `{module}`; this is a mistake of the program")]
    UnknownModule {
        /// The name that was asked for.
        module: String,
    },
    /// The table names no such kernel in the module: our mistake.
    #[error("module `{module}` has no kernel `{kernel}`; this is a mistake of the program")]
    UnknownKernel {
        /// The module.
        module: String,
        /// The name that was asked for.
        kernel: String,
    },
    /// The device does not take the code.
    #[error("kernels `{module}` for {arch}: {source}")]
    Load {
        /// The module.
        module: String,
        /// The target.
        arch: String,
        /// What HIP says.
        source: HipError,
    },
}

fn no_object(arch: &str, module: &str, embedded: &[&str], reason: &str) -> String {
    let built = match embedded {
        [] => "this program was built without code objects".to_owned(),
        list => format!("this program has code objects for {}", list.join(", ")),
    };
    format!(
        "no kernels `{module}` for {arch}: {built}, and hipRTC, which would compile them now, cannot: {reason}; install \
         hipRTC (part of ROCm) or build the program after `cargo xtask kernels --arch {arch}`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_object_names_what_there_is_and_the_fix() {
        let error = |embedded: Vec<&'static str>| {
            let reason = "libhiprtc.so was not found".to_owned();
            KernelError::NoObject { arch: "gfx906".into(), module: "norm/norm".into(), embedded, reason }.to_string()
        };
        let text = error(vec!["gfx1100", "gfx942"]);
        assert!(text.contains("`norm/norm` for gfx906") && text.contains("gfx1100, gfx942"), "{text}");
        assert!(text.contains("libhiprtc.so was not found") && text.contains("--arch gfx906"), "{text}");
        assert!(error(Vec::new()).contains("built without code objects"));
    }
}
