//! One run of a command.

use crate::courier::CourierFault;
use crate::exec::Limits;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How much is repeated of what it says on its standard error, in bytes.
const SAID_MAX: usize = 600;
/// How long what it left running may hold its output open.
const LINGERS: Duration = Duration::from_millis(500);

/// What became of it.
pub(super) struct Ran {
    /// What it gave, up to the limit.
    pub output: Vec<u8>,
    /// The end of what it wrote to its standard error, in one line.
    pub said: String,
    /// Why it did not end well.
    pub trouble: Option<CourierFault>,
}

enum Happened {
    Ended,
    /// Whether all was taken.
    Given(bool),
    /// Whether it was more than it may be.
    Took(Vec<u8>, bool),
    Said(String),
}

/// Runs a command line, and gives it these bytes.
pub(super) fn run(command: &str, names: &[(&str, &str)], given: Vec<u8>, limits: &Limits) -> Result<Ran, CourierFault> {
    let mut child = Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .envs(names.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| CourierFault::Unrun { why: error.to_string() })?;
    let happened = attend(&mut child, given, limits.taken_bytes_max);
    let until = Instant::now() + limits.timeout;
    let (mut output, mut said, mut took_all) = (None, None, None);
    let (mut ended, mut flooded, mut slow) = (false, false, false);
    let mut ends_at = until;
    while output.is_none() || said.is_none() || took_all.is_none() || !ended {
        match happened.recv_timeout(ends_at.saturating_duration_since(Instant::now())) {
            Ok(Happened::Ended) => {
                ended = true;
                let soon = Instant::now() + LINGERS;
                ends_at = if slow { soon } else { until.min(soon) };
            }
            Ok(Happened::Given(all)) => took_all = Some(all),
            Ok(Happened::Took(bytes, is_more)) => {
                output = Some(bytes);
                flooded = is_more;
                if is_more {
                    end_group(&child);
                }
            }
            Ok(Happened::Said(text)) => said = Some(text),
            Err(RecvTimeoutError::Timeout) => {
                slow |= !ended;
                end_group(&child);
                // What was its own is dead now; a process that has left the group may hold the output open, and is not waited for.
                ends_at = Instant::now() + LINGERS;
                if ended {
                    break;
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    // Not reaped until now, so the number is nobody else's.
    end_group(&child);
    let status = child.wait().map_err(|error| CourierFault::Unrun { why: error.to_string() })?;
    let said = said.unwrap_or_default();
    let trouble = if flooded {
        Some(CourierFault::Flood { limit: limits.taken_bytes_max, said: said.clone() })
    } else if slow {
        Some(CourierFault::Slow { waited: limits.timeout, said: said.clone() })
    } else if output.is_none() {
        let how = "left a process behind that holds its output open".to_owned();
        Some(CourierFault::Failed { how, said: said.clone() })
    } else if !status.success() {
        Some(CourierFault::Failed { how: how(status), said: said.clone() })
    } else if took_all != Some(true) {
        let how = "ended well without having read all that it was given".to_owned();
        Some(CourierFault::Failed { how, said: said.clone() })
    } else {
        None
    };
    Ok(Ran { output: output.unwrap_or_default(), said, trouble })
}

/// Feeds it, listens to it, and tells of its end: a thread each, which all end with it.
fn attend(child: &mut Child, given: Vec<u8>, taken_bytes_max: u64) -> mpsc::Receiver<Happened> {
    let (tell, happened) = mpsc::channel();
    if let Some(mut input) = child.stdin.take() {
        let tell = tell.clone();
        thread::spawn(move || tell.send(Happened::Given(input.write_all(&given).is_ok())));
    }
    if let Some(output) = child.stdout.take() {
        let tell = tell.clone();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            // What cannot be read is as if it had ended.
            let _ = output.take(taken_bytes_max + 1).read_to_end(&mut bytes);
            let is_more = bytes.len() as u64 > taken_bytes_max;
            bytes.truncate(usize::try_from(taken_bytes_max).unwrap_or(usize::MAX));
            tell.send(Happened::Took(bytes, is_more))
        });
    }
    if let Some(error) = child.stderr.take() {
        let tell = tell.clone();
        thread::spawn(move || tell.send(Happened::Said(last_words(error))));
    }
    let pid = pid_of(child);
    thread::spawn(move || {
        if let Some(pid) = pid {
            // It stays to be reaped by whoever began it. A signal is no end.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while matches!(waitid(WaitId::Pid(pid), options), Err(rustix::io::Errno::INTR)) {}
        }
        tell.send(Happened::Ended)
    });
    happened
}

fn pid_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Ends all processes of its group, if there are any.
fn end_group(child: &Child) {
    if let Some(pid) = pid_of(child) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// The end of what is written, in one line.
fn last_words(mut from: impl Read) -> String {
    let mut kept = Vec::new();
    let mut some = [0; 4_096];
    while let Ok(count @ 1..) = from.read(&mut some) {
        kept.extend_from_slice(some.get(..count).unwrap_or_default());
        let surplus = kept.len().saturating_sub(SAID_MAX);
        kept.drain(..surplus);
    }
    let text = String::from_utf8_lossy(&kept);
    let words: Vec<&str> =
        text.split(|c: char| c.is_control()).map(str::trim).filter(|line| !line.is_empty()).collect();
    words.join(" / ")
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
