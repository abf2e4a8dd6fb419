//! The steps of a spawn, by the words that `failed` names them with, and how a child tells its parent which one failed.

/// A step of starting a process; those from `Setsid` on are taken by the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Step {
    /// The key is free.
    Key,
    /// The log files are open.
    Log,
    /// The pipes exist.
    Pipe,
    /// The child exists.
    Fork,
    /// It leads its own session.
    Setsid,
    /// It dies with its parent.
    Pdeathsig,
    /// Its descriptors are in place.
    Stdio,
    /// Its limits are set; the detail is the index of the limit.
    Rlimit,
    /// It has its supplementary groups.
    Setgroups,
    /// It has its group.
    Setgid,
    /// It has its user, for good.
    Setuid,
    /// It is in its working directory.
    Chdir,
    /// The program is executed; the detail is an [`ExecFault`].
    Exec,
}

/// What more is known when `exec` fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ExecFault {
    /// As the error number says.
    Plain,
    /// The file exists, but not the interpreter its first line names.
    NoInterpreter,
}

impl Step {
    /// Every step, in the order they are taken.
    pub const ALL: [Self; 13] = [
        Self::Key,
        Self::Log,
        Self::Pipe,
        Self::Fork,
        Self::Setsid,
        Self::Pdeathsig,
        Self::Stdio,
        Self::Rlimit,
        Self::Setgroups,
        Self::Setgid,
        Self::Setuid,
        Self::Chdir,
        Self::Exec,
    ];

    /// The word that names it on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Log => "log",
            Self::Pipe => "pipe",
            Self::Fork => "fork",
            Self::Setsid => "setsid",
            Self::Pdeathsig => "pdeathsig",
            Self::Stdio => "stdio",
            Self::Rlimit => "rlimit",
            Self::Setgroups => "setgroups",
            Self::Setgid => "setgid",
            Self::Setuid => "setuid",
            Self::Chdir => "chdir",
            Self::Exec => "exec",
        }
    }
}

/// Bytes of a report.
pub const REPORT_BYTES: usize = 12;

/// What a child tells its parent when it cannot become the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The step that failed.
    pub step: Step,
    /// See the step.
    pub detail: u32,
    /// The error number.
    pub errno: i32,
}

impl Report {
    /// As bytes; allocates nothing, for the child between fork and exec.
    pub fn encode(self) -> [u8; REPORT_BYTES] {
        let mut bytes = [0; REPORT_BYTES];
        let words = [(self.step as u32).to_ne_bytes(), self.detail.to_ne_bytes(), self.errno.to_ne_bytes()];
        for (slot, byte) in bytes.iter_mut().zip(words.into_iter().flatten()) {
            *slot = byte;
        }
        bytes
    }

    /// From bytes; `None` if they are no report.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (step, rest) = bytes.split_first_chunk()?;
        let (detail, rest) = rest.split_first_chunk()?;
        let number = u32::from_ne_bytes(*step);
        Some(Self {
            step: Step::ALL.into_iter().find(|step| *step as u32 == number)?,
            detail: u32::from_ne_bytes(*detail),
            errno: i32::from_ne_bytes(*rest.first_chunk()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_the_pipe() {
        for step in Step::ALL {
            let report = Report { step, detail: 7, errno: 13 };
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
    }

    #[test]
    fn a_short_or_foreign_report_is_none() {
        let bytes = Report { step: Step::Exec, detail: 0, errno: 2 }.encode();
        assert_eq!(Report::decode(&bytes[..11]), None);
        assert_eq!(Report::decode(&[0xff; REPORT_BYTES]), None);
    }
}
