//! hipRTC's options in NVRTC's terms.

/// Options that stay as they are, with a value behind them or as the next word.
const KEPT: &[&str] =
    &["-D", "-I", "-U", "-std=", "--std=", "--define-macro", "--include-path", "--undefine-macro", "-include"];

/// Options of clang that say nothing to NVRTC, and the word that follows them.
const DROPPED_WITH_VALUE: &[&str] = &["-mllvm", "-Xclang", "-target", "-x"];

/// What options of clang are called in NVRTC.
const RENAMED: &[(&str, &str)] = &[
    ("-ffp-contract=fast", "--fmad=true"),
    ("-ffp-contract=fast-honor-pragmas", "--fmad=true"),
    ("-ffp-contract=on", "--fmad=true"),
    ("-ffp-contract=off", "--fmad=false"),
    ("-ffast-math", "--use_fast_math"),
    ("-w", "--disable-warnings"),
    ("-g", "--generate-line-info"),
];

/// Beginnings of options that clang alone knows: optimisation levels, warnings, code generation.
const DROPPED: &[&str] = &["-O", "-W", "-f", "-m", "-v", "--hip-", "--rocm-", "-nogpu"];

const ARCH: &[&str] = &["--offload-arch=", "--gpu-architecture=", "-arch=", "--gpu-arch="];

/// Translates options; `default_arch` is that of the device, for programs that name none.
///
/// Sources for HIP mark device functions as such, and their constants need not be, so that what has no mark is taken
/// for device code.
pub fn translate(options: &[&str], default_arch: Option<&str>) -> Vec<String> {
    let mut translated = vec!["--device-as-default-execution-space".to_string()];
    let mut has_arch = false;
    let mut words = options.iter().copied();
    while let Some(word) = words.next() {
        if let Some(arch) = ARCH.iter().find_map(|option| word.strip_prefix(option)) {
            has_arch = true;
            translated.push(architecture(arch));
        } else if let Some((_, renamed)) = RENAMED.iter().find(|(option, _)| *option == word) {
            translated.push((*renamed).to_string());
        } else if DROPPED_WITH_VALUE.contains(&word) {
            words.next();
        } else if KEPT.iter().any(|kept| word.starts_with(kept)) || !DROPPED.iter().any(|d| word.starts_with(d)) {
            translated.push(word.to_string());
        }
    }
    if let (false, Some(arch)) = (has_arch, default_arch) {
        translated.push(architecture(arch));
    }
    translated
}

/// The option for an architecture. Where there is a variant with all features of one chip, that one: the code runs on
/// the device that it is compiled for, and nowhere else.
fn architecture(arch: &str) -> String {
    let arch = arch.split(':').next().unwrap_or(arch);
    let specific = matches!(arch, "sm_90" | "sm_100" | "sm_101" | "sm_103" | "sm_110" | "sm_120" | "sm_121");
    format!("--gpu-architecture={arch}{}", if specific { "a" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: &[&str], expected: &[&str]) {
        let translated = translate(options, None);
        assert_eq!(translated[0], "--device-as-default-execution-space");
        assert_eq!(&translated[1..], expected, "{options:?}");
    }

    #[test]
    fn the_usual_options() {
        check(
            &[
                "--offload-arch=sm_90",
                "-O3",
                "-std=c++17",
                "-ffp-contract=fast-honor-pragmas",
                "-DRF_TYPE=Q4_0",
                "-Ikernels/include",
            ],
            &["--gpu-architecture=sm_90a", "-std=c++17", "--fmad=true", "-DRF_TYPE=Q4_0", "-Ikernels/include"],
        );
    }

    #[test]
    fn architectures() {
        check(&["--offload-arch=sm_80"], &["--gpu-architecture=sm_80"]);
        check(&["--offload-arch=sm_90a"], &["--gpu-architecture=sm_90a"]);
        check(&["--gpu-architecture=sm_90"], &["--gpu-architecture=sm_90a"]);
        check(&["--offload-arch=sm_89:feature+"], &["--gpu-architecture=sm_89"]);
    }

    #[test]
    fn values_in_a_word_of_their_own_stay_with_their_option() {
        check(&["-D", "X=1", "-mllvm", "-amdgpu-x", "-I", "dir"], &["-D", "X=1", "-I", "dir"]);
    }

    #[test]
    fn what_only_clang_knows_is_dropped_and_what_nobody_knows_is_kept() {
        check(&["-Wall", "-Wno-x", "-fno-strict-aliasing", "-mcumode", "-O0", "-v"], &[]);
        check(&["--maxrregcount=64", "--no-such-option"], &["--maxrregcount=64", "--no-such-option"]);
        check(
            &["-ffp-contract=off", "-ffast-math", "-w", "-g"],
            &["--fmad=false", "--use_fast_math", "--disable-warnings", "--generate-line-info"],
        );
    }

    #[test]
    fn the_device_gives_the_architecture_where_no_option_does() {
        assert_eq!(translate(&[], Some("sm_86"))[1..], ["--gpu-architecture=sm_86"]);
        assert_eq!(translate(&["--offload-arch=sm_80"], Some("sm_86"))[1..], ["--gpu-architecture=sm_80"]);
    }
}
