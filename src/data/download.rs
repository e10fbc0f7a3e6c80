//! Fetching a dataset's files once, over HTTPS.
//!
//! A file is written beside its place under another name, its SHA-256 compared, flushed to disk and
//! only then renamed: whatever goes wrong, nothing half-written is left under the real name.
//!
//! `NNTRAIN_MIRROR=URL` replaces the servers below: files are fetched from `URL/<type>/<file>`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use ureq::Agent;

use crate::data::source::Fingerprint;

/// A dataset's files on the web.
#[derive(Debug)]
pub struct Remote {
    pub kind: &'static str,
    /// Folders that have all of the files, ending in `/`.
    pub mirrors: &'static [&'static str],
    pub files: [RemoteFile; 4],
}

#[derive(Debug)]
pub struct RemoteFile {
    pub name: &'static str,
    pub sha256: &'static str,
}

/// No file is larger; more than this is not what was asked for.
const LARGEST: u64 = 64 << 20;

impl Remote {
    /// Where to fetch from: `variable` is the value of `NNTRAIN_MIRROR`.
    pub fn servers(&self, variable: Option<String>) -> Vec<String> {
        match variable.filter(|v| !v.is_empty()) {
            Some(base) => vec![format!("{}/{}/", base.trim_end_matches('/'), self.kind)],
            None => self.mirrors.iter().map(|m| m.to_string()).collect(),
        }
    }
}

/// Fetches one file into `folder` from the first server that has it.
///
/// # Errors
/// What went wrong, for each server.
pub fn fetch(
    file: &RemoteFile,
    servers: &[String],
    folder: &Path,
    show_progress: bool,
) -> Result<(), Vec<String>> {
    let mut reasons = vec![];
    for server in servers {
        let url = format!("{server}{}", file.name);
        match fetch_from(&url, file, folder, show_progress) {
            Ok(()) => return Ok(()),
            Err(reason) => reasons.push(format!("{url}: {reason}")),
        }
    }
    Err(reasons)
}

fn fetch_from(url: &str, file: &RemoteFile, folder: &Path, show_progress: bool) -> Result<(), String> {
    let response = agent().get(url).call().map_err(|error| error.to_string())?;
    let size = response.body().content_length();
    let bar = bar(file.name, size, show_progress);
    let body = response.into_body().into_reader().take(LARGEST);
    let stored = store(bar.wrap_read(body), file, folder);
    bar.finish_and_clear();
    stored
}

/// Gives up on a server that does not answer or goes silent, not on a slow line.
fn agent() -> Agent {
    let seconds = |n| Some(Duration::from_secs(n));
    let config = Agent::config_builder()
        .timeout_resolve(seconds(10))
        .timeout_connect(seconds(10))
        .timeout_recv_response(seconds(30))
        .timeout_per_read(seconds(30))
        .build();
    config.into()
}

fn bar(name: &'static str, size: Option<u64>, show: bool) -> ProgressBar {
    if !show {
        return ProgressBar::hidden();
    }
    let template = match size {
        Some(_) => "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        None => "{msg} {spinner} {bytes} {bytes_per_sec}",
    };
    let style = ProgressStyle::with_template(template).expect("the template is well formed");
    size.map_or_else(ProgressBar::no_length, ProgressBar::new).with_style(style).with_message(name)
}

/// A file that goes away unless it is renamed.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After the rename there is nothing to remove, and no way to fail matters here.
        let _ = fs::remove_file(&self.0);
    }
}

fn store(mut body: impl Read, file: &RemoteFile, folder: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("writing to `{}`: {error}", folder.display());
    fs::create_dir_all(folder).map_err(failed)?;
    let unfinished = Unfinished(folder.join(format!(".{}.{}.part", file.name, std::process::id())));
    let mut out = File::create(&unfinished.0).map_err(failed)?;
    let mut fingerprint = Fingerprint::default();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = body.read(&mut buffer).map_err(|error| format!("the download broke off: {error}"))?;
        if n == 0 {
            break;
        }
        fingerprint.update(&buffer[..n]);
        out.write_all(&buffer[..n]).map_err(failed)?;
    }
    let found = fingerprint.hex();
    if found != file.sha256 {
        return Err(format!("SHA-256 is {found}, expected {}", file.sha256));
    }
    out.sync_all().map_err(failed)?;
    drop(out);
    fs::rename(&unfinished.0, folder.join(file.name)).map_err(failed)?;
    // The rename itself is on disk once the folder is; where folders cannot be opened there is no way.
    File::open(folder).map_or(Ok(()), |folder| folder.sync_all()).map_err(failed)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::data::testing::Folder;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::thread;

    /// Serves whole responses by path on the loopback address, one connection after the other, as
    /// many as are given; returns the base URL.
    pub fn serve(responses: Vec<(String, Vec<u8>)>) -> (String, thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let handle = thread::spawn(move || {
            for _ in 0..responses.len() {
                let (mut stream, _) = listener.accept().unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let request = lines.next().unwrap().unwrap();
                lines.find(|line| line.as_ref().unwrap().is_empty());
                let path = request.split(' ').nth(1).unwrap();
                let found = responses.iter().find(|(p, _)| p == path);
                let body = found.map_or_else(|| response("404 Not Found", b"no", 2), |r| r.1.clone());
                stream.write_all(&body).unwrap();
            }
        });
        (url, handle)
    }

    pub fn response(status: &str, body: &[u8], length: usize) -> Vec<u8> {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        [head.as_bytes(), body].concat()
    }

    const FILE: RemoteFile = RemoteFile {
        name: "abc.gz",
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    };

    fn try_once(response: Vec<u8>, path: &str) -> (Result<(), Vec<String>>, Vec<String>) {
        let folder = Folder::new();
        let place = folder.write("mnist/other", "").parent().unwrap().to_path_buf();
        let (url, handle) = serve(vec![(path.to_string(), response)]);
        let result = fetch(&FILE, &[format!("{url}/")], &place, false);
        handle.join().unwrap();
        let names = fs::read_dir(&place).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|n| n != "other").collect();
        names.sort();
        (result, names)
    }

    #[test]
    fn a_good_file_is_kept() {
        let (result, names) = try_once(response("200 OK", b"abc", 3), "/abc.gz");
        assert_eq!((result, names), (Ok(()), vec!["abc.gz".to_string()]));
    }

    #[test]
    fn whatever_fails_leaves_nothing_behind() {
        for (response, path, part) in [
            (response("200 OK", b"abd", 3), "/abc.gz", "expected ba7816bf"),
            (response("200 OK", b"abc", 3), "/elsewhere", "404"),
            (response("200 OK", b"ab", 3), "/abc.gz", "abc.gz: "),
        ] {
            let (result, names) = try_once(response, path);
            let reasons = result.unwrap_err();
            assert!(reasons.len() == 1 && reasons[0].contains(part), "{reasons:?}");
            assert!(names.is_empty(), "{names:?}");
        }
    }

    #[test]
    fn the_next_server_is_asked() {
        let folder = Folder::new();
        let place = folder.write("mnist/other", "").parent().unwrap().to_path_buf();
        // A port that nobody listens on: it was free a moment ago.
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let refused = format!("http://{closed}/");
        let reasons = fetch(&FILE, std::slice::from_ref(&refused), &place, false).unwrap_err();
        assert!(reasons[0].starts_with(&refused), "{reasons:?}");
        let (url, handle) = serve(vec![("/abc.gz".into(), response("200 OK", b"abc", 3))]);
        fetch(&FILE, &[refused, format!("{url}/")], &place, false).unwrap();
        handle.join().unwrap();
        assert_eq!(fs::read(place.join("abc.gz")).unwrap(), b"abc");
    }
}
