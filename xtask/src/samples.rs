//! `cargo xtask samples`: the labs' two sample files, for the servers to serve.
//!
//! Their lengths are the labs': 55,696 and 583,163 bytes. A text and a picture, so that a file that was cut or garbled on the way
//! is not only another number: the song lacks its end, the picture its top. They are the same bytes on every machine.

mod picture;
mod song;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder that the servers serve; made when needed
    #[arg(long, default_value = "anywire-data")]
    dir: PathBuf,
    /// Replace files of the same names that are different
    #[arg(long)]
    overwrite: bool,
}

/// A sample: its name, and what makes it.
type Sample = (&'static str, fn() -> Vec<u8>);

const SAMPLES: [Sample; 2] = [("song.txt", song::text), ("fractal.bmp", picture::bmp)];

pub(crate) fn run(Args { dir, overwrite }: &Args) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut problems = Vec::new();
    for (name, make) in SAMPLES {
        let (path, content) = (dir.join(name), make());
        match put(&path, &content, *overwrite) {
            Ok(what) => println!("{}: {} bytes, {what}", path.display(), content.len()),
            Err(problem) => problems.push(format!("{problem:#}")),
        }
    }
    ensure!(problems.is_empty(), "{}", problems.join("; "));
    Ok(())
}

/// Sees to it that the file is there, and says what was to be done.
fn put(path: &Path, content: &[u8], overwrite: bool) -> Result<&'static str> {
    let what = match there(path)? {
        Some(old) if old == content => return Ok("was there already"),
        Some(_) if !overwrite => {
            bail!("{} is there and different: move it away, or say --overwrite", path.display())
        }
        Some(_) => "replaced",
        None => "made",
    };
    // Whole under its name, or not at all.
    let temporary = path.with_extension("part");
    let written = fs::write(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(what)
}

/// What is there under that name: nothing, or the bytes of a file.
fn there(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        // It might lead anywhere, and reading a FIFO may take forever.
        Ok(metadata) if !metadata.is_file() => bail!("{} is there and no file", path.display()),
        _ => Ok(Some(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?)),
    }
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    /// FNV-1a: enough to see that a byte has changed.
    fn sum(bytes: &[u8]) -> u64 {
        let fold = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold)
    }

    #[test]
    fn they_have_the_labs_lengths_and_never_change() {
        let made = SAMPLES.map(|(name, make)| (name, make().len(), sum(&make())));
        let expected = [
            ("song.txt", 55_696, 0x208d_3b37_8a3e_199d),
            ("fractal.bmp", 583_163, 0xdf1f_28ce_f393_8404),
        ];
        assert_eq!(made, expected);
    }

    /// A folder of this test's own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            Self(env::temp_dir().join(format!("anywire-samples-{name}-{}", std::process::id())))
        }

        fn samples(&self, overwrite: bool) -> Result<(), String> {
            let done = run(&Args { dir: self.0.clone(), overwrite });
            done.map_err(|error| format!("{error:#}"))
        }

        fn read(&self, name: &str) -> Vec<u8> {
            fs::read(self.0.join(name)).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_different_file_stays_unless_told() {
        let folder = Folder::new("different");
        fs::create_dir_all(&folder.0).unwrap();
        fs::write(folder.0.join("song.txt"), "another song").unwrap();
        let refusal = folder.samples(false).unwrap_err();
        assert!(refusal.contains("song.txt is there and different"), "{refusal}");
        assert_eq!(folder.read("song.txt"), b"another song");
        // The other one is made all the same, and both are left alone where they are right.
        assert_eq!(folder.read("fractal.bmp"), picture::bmp());
        folder.samples(true).unwrap();
        assert_eq!(folder.read("song.txt"), song::text());
        folder.samples(false).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_stays_even_if_told() {
        let folder = Folder::new("no-file");
        fs::create_dir_all(&folder.0).unwrap();
        let target = folder.0.join("elsewhere");
        std::os::unix::fs::symlink(&target, folder.0.join("song.txt")).unwrap();
        let refusal = folder.samples(true).unwrap_err();
        assert!(refusal.ends_with("song.txt is there and no file"), "{refusal}");
        assert!(!target.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = Folder::new("occupied");
        fs::write(&folder.0, "no folder").unwrap();
        let refusal = folder.samples(false).unwrap_err();
        fs::remove_file(&folder.0).unwrap();
        assert!(refusal.contains("cannot make ") && refusal.contains("occupied"), "{refusal}");
    }
}
