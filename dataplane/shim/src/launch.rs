//! From a process as the daemon describes it to what a child needs, and from the step that failed to a sentence. Pure.

use crate::errors::errno_text;
use crate::raw::{Limit, Plan};
use crate::step::{ExecFault, Report, Step};
use crate::tree::COOKIE;
use pinfold_wire::shim::{Process, Resource, Rlimit};
use pinfold_wire::Problem;
use std::ffi::CString;

/// Where programs are looked for when the environment has no `PATH` (as execvp(3) does).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Soft and hard limit of open descriptors that the shim itself was started with; children get them back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// The limit in force.
    pub soft: u64,
    /// How far it may be raised.
    pub hard: u64,
}

/// Prepare everything a child needs.
///
/// # Errors
/// A problem of the step `exec` when the description cannot be passed to execve(2).
pub fn plan(process: &Process, open_files: OpenFiles) -> Result<Plan, Problem> {
    let Some(program) = process.argv.first().filter(|program| !program.is_empty()) else {
        return Err(problem(Step::Exec, "no program is named".to_owned(), libc::EINVAL));
    };
    let inherited = Limit { resource: Resource::OpenFiles, soft: open_files.soft, hard: open_files.hard };
    let own = process.rlimits.iter().map(|&Rlimit { resource, value }| Limit { resource, soft: value, hard: value });
    Ok(Plan {
        candidates: terminated(&candidates(program, search_path(&process.environment)), "the program")?,
        argv: terminated(&process.argv, "an argument")?,
        environment: terminated(&environment(process), "the environment")?,
        working_directory: CString::new(process.working_directory.as_str())
            .map_err(|_| problem(Step::Chdir, "the working directory holds a NUL".to_owned(), libc::EINVAL))?,
        identity: process.identity.as_ref().map(|who| (who.uid, who.gid, who.groups.clone())),
        umask: process.umask & 0o777,
        rlimits: [inherited].into_iter().chain(own).collect(),
    })
}

/// Why a process did not start, naming the path, user or limit.
pub fn explain(process: &Process, report: Report) -> Problem {
    let why = errno_text(report.errno);
    let identity = process.identity.as_ref();
    let what = match report.step {
        Step::Key => format!("a process with the key {} exists already", process.key),
        Step::Log => format!("the log cannot be opened: {why}"),
        Step::Pipe => format!("no pipes can be had: {why}"),
        Step::Fork => format!("no process can be had: {why}"),
        Step::Setsid => format!("a session of its own cannot be had: {why}"),
        Step::Pdeathsig => format!("its life cannot be tied to that of the shim: {why}"),
        Step::Stdio => format!("its descriptors cannot be put in place: {why}"),
        Step::Rlimit => limit_refused(process, report.detail, &why),
        Step::Setgroups => format!("cannot take the groups {:?}: {why}", identity.map_or(&[][..], |who| &who.groups)),
        Step::Setgid => format!("cannot take the group {}: {why}", identity.map_or(0, |who| who.gid)),
        Step::Setuid => format!("cannot become the user {} for good: {why}", identity.map_or(0, |who| who.uid)),
        Step::Chdir => format!("cannot enter {}: {why}", process.working_directory),
        Step::Exec => not_executed(process, report, &why),
    };
    problem(report.step, what, report.errno)
}

/// A problem with a step.
pub fn problem(step: Step, what: String, errno: i32) -> Problem {
    Problem { place: step.word().to_owned(), what, errno: Some(errno) }
}

fn limit_refused(process: &Process, index: u32, why: &str) -> String {
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    // The first limit of the plan is not of the operator's making.
    match index.checked_sub(1).and_then(|index| process.rlimits.get(index)) {
        Some(Rlimit { resource, value }) => format!("cannot limit {} to {value}: {why}", name(*resource)),
        None => format!("cannot restore the limit of open_files: {why}"),
    }
}

fn not_executed(process: &Process, report: Report, why: &str) -> String {
    let program = process.argv.first().map_or("", String::as_str);
    if report.detail == ExecFault::NoInterpreter as u32 {
        return format!("{program}: the file exists, but the interpreter its first line names does not");
    }
    match report.errno {
        libc::ENOENT if !program.contains('/') => {
            format!("{program}: not found in PATH={}", search_path(&process.environment))
        }
        libc::EACCES => match &process.identity {
            Some(who) => format!("{program}: may not be executed by the user {}", who.uid),
            None => format!("{program}: may not be executed by this user"),
        },
        libc::ENOEXEC => format!("{program}: neither a binary of this machine nor a script with a first line #!"),
        _ => format!("{program}: {why}"),
    }
}

fn search_path(environment: &[String]) -> &str {
    environment.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH)
}

/// Where a program may be: itself if it has a slash, else in each directory of the path; an empty one is the current.
fn candidates(program: &str, path: &str) -> Vec<String> {
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    let directory = |directory| if str::is_empty(directory) { "." } else { directory };
    path.split(':').map(directory).map(|directory| format!("{directory}/{program}")).collect()
}

/// As given, and the cookie by which orphans are known.
fn environment(process: &Process) -> Vec<String> {
    let is_cookie = |entry: &&String| entry.split_once('=').is_some_and(|(name, _)| name == COOKIE);
    let mut entries: Vec<_> = process.environment.iter().filter(|entry| !is_cookie(entry)).cloned().collect();
    entries.push(format!("{COOKIE}={}", process.key));
    entries
}

fn terminated(strings: &[String], what: &str) -> Result<Vec<CString>, Problem> {
    let refused = |_| problem(Step::Exec, format!("{what} holds a NUL"), libc::EINVAL);
    strings.iter().map(|string| CString::new(string.as_str())).collect::<Result<_, _>>().map_err(refused)
}

fn name(resource: Resource) -> &'static str {
    match resource {
        Resource::Core => "core",
        Resource::OpenFiles => "open_files",
        Resource::Processes => "processes",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_wire::shim::{Identity, LogFile, Role};

    const OPEN_FILES: OpenFiles = OpenFiles { soft: 1024, hard: 4096 };

    fn process(argv: &[&str], environment: &[&str]) -> Process {
        let owned = |strings: &[&str]| strings.iter().map(|&string| string.to_owned()).collect();
        Process {
            key: "web.1-7".to_owned(),
            label: String::new(),
            role: Role::Program,
            argv: owned(argv),
            environment: owned(environment),
            working_directory: "/srv".to_owned(),
            identity: Some(Identity { uid: 107, gid: 112, groups: vec![112, 4] }),
            umask: 0o22,
            rlimits: vec![Rlimit { resource: Resource::OpenFiles, value: 9 }],
            log: LogFile { path: "/tmp/x".to_owned(), max_bytes: 0, keep: 0 },
            access_log: None,
        }
    }

    fn strings(of: &[CString]) -> Vec<&str> {
        of.iter().map(|string| string.to_str().unwrap()).collect()
    }

    fn sentence(process: &Process, step: Step, detail: u32, errno: i32) -> String {
        explain(process, Report { step, detail, errno }).what
    }

    #[test]
    fn a_bare_name_is_looked_for_in_the_path_of_its_own_environment() {
        let planned = plan(&process(&["web"], &["PATH=/a::/b"]), OPEN_FILES).unwrap();
        assert_eq!(strings(&planned.candidates), ["/a/web", "./web", "/b/web"]);
        let planned = plan(&process(&["web"], &[]), OPEN_FILES).unwrap();
        assert_eq!(strings(&planned.candidates), ["/bin/web", "/usr/bin/web"]);
        let planned = plan(&process(&["./web"], &["PATH=/a"]), OPEN_FILES).unwrap();
        assert_eq!(strings(&planned.candidates), ["./web"]);
    }

    #[test]
    fn the_environment_is_as_given_with_one_cookie() {
        let planned = plan(&process(&["web"], &["A=1", "PINFOLD_PROCESS=forged", "B="]), OPEN_FILES).unwrap();
        assert_eq!(strings(&planned.environment), ["A=1", "B=", "PINFOLD_PROCESS=web.1-7"]);
    }

    #[test]
    fn the_limit_of_descriptors_is_given_back_before_the_operators_own() {
        let planned = plan(&process(&["web"], &[]), OPEN_FILES).unwrap();
        let limit = |soft, hard| Limit { resource: Resource::OpenFiles, soft, hard };
        assert_eq!(planned.rlimits, [limit(1024, 4096), limit(9, 9)]);
    }

    #[test]
    fn what_execve_cannot_take_is_refused_before_the_fork() {
        assert_eq!(plan(&process(&[], &[]), OPEN_FILES).err().unwrap().place, "exec");
        assert_eq!(plan(&process(&[""], &[]), OPEN_FILES).err().unwrap().place, "exec");
        assert_eq!(plan(&process(&["web", "a\0b"], &[]), OPEN_FILES).err().unwrap().what, "an argument holds a NUL");
    }

    #[test]
    fn each_sentence_names_what_was_refused() {
        let it = process(&["web"], &["PATH=/a:/b"]);
        assert_eq!(sentence(&it, Step::Exec, 0, libc::ENOENT), "web: not found in PATH=/a:/b");
        assert_eq!(sentence(&it, Step::Exec, 0, libc::EACCES), "web: may not be executed by the user 107");
        assert_eq!(sentence(&it, Step::Chdir, 0, libc::ENOENT), "cannot enter /srv: No such file or directory");
        assert_eq!(
            sentence(&it, Step::Rlimit, 1, libc::EPERM),
            "cannot limit open_files to 9: Operation not permitted"
        );
        assert_eq!(
            sentence(&it, Step::Setgroups, 0, libc::EPERM),
            "cannot take the groups [112, 4]: Operation not permitted"
        );
        assert!(sentence(&it, Step::Exec, 1, libc::ENOENT).contains("interpreter"));
    }
}
