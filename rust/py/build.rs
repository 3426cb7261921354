//! Tells the binary which cargo profile it is built with: cargo's own PROFILE knows only debug and release.

fn main() {
    // OUT_DIR is target/[triple/]<profile>/build/<package>/out.
    let out_dir = std::env::var("OUT_DIR").unwrap_or_default();
    let profile = std::path::Path::new(&out_dir).iter().rev().nth(3).and_then(|p| p.to_str()).unwrap_or("unknown");
    println!("cargo::rustc-env=ROLECORE_PROFILE={profile}");
    println!("cargo::rerun-if-changed=build.rs");
}
