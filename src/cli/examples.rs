//! What `--help` ends with: examples of a command, and where to read on.

/// Where to read on. The place of the repository is the package's own.
pub(super) const DOCUMENTATION: &str = if env!("CARGO_PKG_REPOSITORY").is_empty() {
    "Documentation: README.md and docs/ of this release"
} else {
    concat!("Documentation: ", env!("CARGO_PKG_REPOSITORY"), "#readme")
};

/// Examples, then where to read on.
macro_rules! examples {
    ($($example:literal)+) => {
        format!(
            "Examples:\n{}\n{}",
            concat!($("  onetribe-relay ", $example, "\n"),+),
            $crate::cli::examples::DOCUMENTATION
        )
    };
}
pub(super) use examples;
