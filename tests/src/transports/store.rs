//! What the servers keep their files in, and how a scenario looks into it.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anywire_core::name::FileName;
use anywire_core::request::Refusal;
use anywire_core::store::{Entry, Store};
use anywire_std::console::escape::Shown;

use crate::samples;

/// What can be seen of a server's store from outside.
pub(super) trait Files {
    /// The bytes of the file `name`.
    fn stored(&self, name: &str) -> Option<Vec<u8>>;

    /// Every file that is under a name, in order.
    fn names(&self) -> Vec<String>;

    /// How many files are being written.
    fn unfinished(&self) -> usize;

    /// The entries of the log.
    fn logs(&self) -> Vec<String>;
}

/// The folder of logs in a folder.
pub(super) const LOGS: &str = "logs";

/// A [`FolderStore`](anywire_std::folder::FolderStore)'s folder, looked at without it.
impl Files for tempfile::TempDir {
    fn stored(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.path().join(name)).ok()
    }

    fn names(&self) -> Vec<String> {
        let mut names = entries(self);
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }

    fn unfinished(&self) -> usize {
        entries(self).iter().filter(|name| name.starts_with(".anywire-")).count()
    }

    fn logs(&self) -> Vec<String> {
        let folder = self.path().join(LOGS);
        let entries = std::fs::read_dir(&folder).into_iter().flatten().map(Result::unwrap);
        let names = entries.map(|entry| entry.file_name().into_string().expect("names are UTF-8"));
        // What has no name yet is no entry.
        let count = names.filter(|name| !name.starts_with(".anywire-")).count();
        let line = |number| {
            let line = std::fs::read_to_string(folder.join(format!("log{number}.txt")));
            let line = line.unwrap_or_else(|error| panic!("log{number}.txt of {count}: {error}"));
            line.strip_suffix('\n').expect("an entry is a line").to_owned()
        };
        (0..count).map(line).collect()
    }
}

/// The regular files of a folder, hidden ones too.
fn entries(dir: &tempfile::TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(dir.path()).expect("the folder is there").map(Result::unwrap);
    // One that is gone meanwhile was none.
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    files.map(|entry| entry.file_name().into_string().expect("names are UTF-8")).collect()
}

/// A store in RAM, with the samples in it and room for more: all clones are one store.
///
/// A `RamStore` that can hold all that the scenarios upload would not fit on a stack, and would be made on one.
#[derive(Clone, Debug)]
pub(super) struct SharedStore(Arc<Mutex<Shelf>>);

#[derive(Debug)]
struct Shelf {
    files: BTreeMap<String, Arc<Vec<u8>>>,
    reading: usize,
    writing: usize,
    /// `None`: it keeps none.
    log: Option<Vec<String>>,
}

/// The samples, which all stores share.
static SAMPLES: LazyLock<BTreeMap<String, Arc<Vec<u8>>>> = LazyLock::new(|| {
    let sample = |&(name, len): &(&str, usize)| (name.into(), Arc::new(samples::bytes(len)));
    samples::FILES.iter().map(sample).collect()
});

/// A file that is being read, and how far it has been.
#[derive(Debug)]
pub(super) struct Reader(Arc<Vec<u8>>, usize);

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Writer {
    name: String,
    bytes: Vec<u8>,
    replace: bool,
}

impl SharedStore {
    /// One with the samples, and perhaps with a log.
    pub(super) fn new(log: bool) -> Self {
        let files = SAMPLES.clone();
        Self(Arc::new(Mutex::new(Shelf { files, reading: 0, writing: 0, log: log.then(Vec::new) })))
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever is gone has closed, committed or abandoned what it had open.
    pub(super) fn assert_all_given_back(&self) {
        let shelf = self.lock();
        let open = (shelf.reading, shelf.writing);
        assert!(open == (0, 0) || std::thread::panicking(), "{open:?} files are open for ever");
    }
}

impl Files for SharedStore {
    fn stored(&self, name: &str) -> Option<Vec<u8>> {
        self.lock().files.get(name).map(|bytes| bytes.to_vec())
    }

    fn names(&self) -> Vec<String> {
        self.lock().files.keys().cloned().collect()
    }

    fn unfinished(&self) -> usize {
        self.lock().writing
    }

    fn logs(&self) -> Vec<String> {
        self.lock().log.clone().unwrap_or_default()
    }
}

impl Store for SharedStore {
    type Reader = Reader;
    type Writer = Writer;

    fn open(&mut self, name: FileName<'_>) -> Result<(Reader, u64), Refusal> {
        let mut shelf = self.lock();
        let bytes = Arc::clone(shelf.files.get(name.as_str()).ok_or(Refusal::NotFound)?);
        shelf.reading += 1;
        let len = bytes.len() as u64;
        Ok((Reader(bytes, 0), len))
    }

    fn read(&mut self, file: &mut Reader, buf: &mut [u8]) -> Result<usize, Refusal> {
        let left = &file.0[file.1..];
        let len = left.len().min(buf.len());
        buf[..len].copy_from_slice(&left[..len]);
        file.1 += len;
        Ok(len)
    }

    fn close(&mut self, _: Reader) {
        self.lock().reading -= 1;
    }

    fn create(&mut self, name: FileName<'_>, replace: bool) -> Result<Writer, Refusal> {
        let mut shelf = self.lock();
        let name = name.as_str().to_owned();
        if samples::NOT_FILES.contains(&&*name) {
            return Err(Refusal::NotAFile);
        }
        if !replace && shelf.files.contains_key(&name) {
            return Err(Refusal::Exists);
        }
        shelf.writing += 1;
        Ok(Writer { name, bytes: Vec::new(), replace })
    }

    fn expect(&mut self, _: &mut Writer, len: u64) -> Result<(), Refusal> {
        let max = samples::LONGEST as u64;
        if len > max { Err(Refusal::TooLarge { max }) } else { Ok(()) }
    }

    fn write(&mut self, file: &mut Writer, bytes: &[u8]) -> Result<usize, Refusal> {
        let len = bytes.len().min(samples::LONGEST - file.bytes.len());
        if len == 0 {
            return Err(Refusal::TooLarge { max: samples::LONGEST as u64 });
        }
        file.bytes.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn commit(&mut self, file: Writer) -> Result<(), Refusal> {
        let mut shelf = self.lock();
        shelf.writing -= 1;
        if !file.replace && shelf.files.contains_key(&file.name) {
            return Err(Refusal::Exists);
        }
        shelf.files.insert(file.name, Arc::new(file.bytes));
        Ok(())
    }

    fn abandon(&mut self, _: Writer) {
        self.lock().writing -= 1;
    }

    /// As a [`FolderStore`](anywire_std::folder::FolderStore) writes it, and as slowly: who does not wait for it is found out.
    fn log(&mut self, entry: Entry<'_>) -> Result<(), Refusal> {
        std::thread::sleep(Duration::from_millis(1));
        let Entry { time, peer, text } = entry;
        let peer = peer.map_or("-".into(), |peer| peer.to_string());
        let line = format!("{} {peer} \"{}\"", Shown(time), Shown(text));
        self.lock().log.as_mut().ok_or(Refusal::Unsupported)?.push(line);
        Ok(())
    }
}
