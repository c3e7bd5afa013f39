//! Servers on a small file system of their own, mounted where nobody else sees it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::programs::program;
use crate::skip::skip;
use crate::uploads::FileServer;

/// The namespaces to try: root needs one of mounts only; others become root in a user namespace first.
const NAMESPACES: [&str; 2] = ["-m", "-Urm"];

/// A server whose folder is a file system in RAM, of its own.
#[derive(Debug)]
pub struct Mounted {
    /// The server.
    pub server: FileServer,
    users: bool,
    mount: tempfile::TempDir,
}

impl Mounted {
    /// Starts it with tmpfs's `size`, like `size=1m,nr_inodes=100`. `None`: nothing can be mounted here, which was told, and
    /// fails the test where `ANYWIRE_REQUIRE` has `tap`, as whatever needs namespaces does.
    pub fn start(size: &str, options: &[&str]) -> Option<Self> {
        let mount = tempfile::tempdir().expect("a folder to mount on");
        let script = r#"mount -t tmpfs -o "$1,mode=755" tmpfs "$2" && shift 2 && exec "$@""#;
        let shell = |namespace| {
            let mut shell = Command::new("unshare");
            shell.args([namespace, "--", "sh", "-c", script, "sh", size]).arg(mount.path());
            shell
        };
        let mut refusal = String::new();
        for namespace in NAMESPACES {
            match shell(namespace).arg("true").output() {
                Ok(tried) if tried.status.success() => {
                    let mut wrapper = shell(namespace);
                    wrapper.arg(program("anywire").get_program());
                    let server = FileServer::wrapped(wrapper, mount.path(), options);
                    return Some(Self { server, users: namespace.contains('U'), mount });
                }
                Ok(tried) => refusal = String::from_utf8_lossy(&tried.stderr).trim().to_owned(),
                Err(error) => refusal = error.to_string(),
            }
        }
        // Whoever may have a TAP may mount.
        skip(&format!("nothing can be mounted here: {refusal}"), "tap");
        None
    }

    /// The folder, as seen from outside.
    pub fn dir(&self) -> PathBuf {
        let mount = self.mount.path().strip_prefix("/").expect("an absolute path");
        Path::new("/proc").join(self.server.pid().to_string()).join("root").join(mount)
    }

    /// Mounts it again, with other options: `ro`, `rw`.
    pub fn remount(&self, options: &str) -> Output {
        let mut enter = Command::new("nsenter");
        enter.args(["-t", &self.server.pid().to_string(), "-m"]);
        if self.users {
            enter.args(["-U", "--preserve-credentials"]);
        }
        enter.args(["mount", "-o", &format!("remount,{options}")]).arg(self.mount.path());
        enter.stdin(Stdio::null()).output().expect("nsenter is where unshare is")
    }
}
