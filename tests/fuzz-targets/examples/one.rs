//! Runs a target over the files that are named.

fn main() {
    let mut args = std::env::args().skip(1);
    let name = args.next().expect("a target's name");
    let target = anywire_fuzz_targets::TARGETS.iter().find(|target| target.name == name);
    for path in args {
        (target.expect("there is such a target").run)(&std::fs::read(&path).expect("a file"));
    }
}
