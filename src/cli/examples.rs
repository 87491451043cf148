//! The end of `--help`: examples of a command, and a link to the documentation.

/// A pointer to the documentation. The address of the repository is the package's own.
pub(super) const DOCUMENTATION: &str = if env!("CARGO_PKG_REPOSITORY").is_empty() {
    "Documentation: README.md and docs/ of this release"
} else {
    concat!("Documentation: ", env!("CARGO_PKG_REPOSITORY"), "#readme")
};

/// The examples, then the pointer to the documentation.
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
