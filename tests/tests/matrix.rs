//! What is committed of the matrix is what the suite has: rows, columns and reasons. Nothing is run here.

use anywire_tests::matrix::{self, Matrix};
use anywire_tests::{scenarios, transports};

fn read(path: &str) -> String {
    let path = format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All of it: a row that is not there, one that is gone, and a cell that did not pass.
#[test]
fn the_committed_matrix_is_the_suites() {
    let (scenarios, transports) = (scenarios::all(), transports::all());
    let page = Matrix::passed(&scenarios, &transports).page(&scenarios, &transports);
    let committed = read("docs/matrix.md");
    let differs = page.lines().zip(committed.lines()).find(|(is, was)| is != was);
    assert!(
        page == committed,
        "docs/matrix.md is not what the suite has; `cargo xtask test --matrix docs/matrix.md` writes it. It first differs at\n{differs:#?}"
    );
}

#[test]
fn the_readme_has_its_summary() {
    let summary = matrix::summary(&scenarios::all(), &transports::all());
    assert!(read("README.md").contains(&summary), "README.md has another summary than\n{summary}");
}
