//! Which vector instructions this CPU offers; kernels that use them are chosen at run time, never at build time.

/// The best vector level of this machine: `"avx512"`, `"avx2"`, `"neon"` or `"scalar"`.
pub fn level() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            return "avx512";
        }
        if is_x86_feature_detected!("avx2") {
            return "avx2";
        }
    }
    if cfg!(target_arch = "aarch64") { "neon" } else { "scalar" }
}
