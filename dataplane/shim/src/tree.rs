//! Which processes belong to a process that was spawned here. Pure: from a list of what was seen.
//!
//! All of them descend from the shim, which is their sub-reaper. A child of the shim is either a process of the table, or
//! an orphan that lost its parent; an orphan tells by its cookie, a variable it has inherited, whose it is, and one that
//! has no cookie by its session or process group. Whatever descends from either belongs with it.

use crate::procfs::Seen;
use std::collections::{BTreeMap, BTreeSet};

/// Name of the variable that every process spawned here is given: its key.
pub const COOKIE: &str = "PINFOLD_PROCESS";

/// A process of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its process id, which may be another's once it has ended.
    pub pid: i32,
    /// When it began.
    pub start_ticks: u64,
}

/// A process that belongs to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its id.
    pub pid: i32,
    /// When it began.
    pub start_ticks: u64,
}

/// Whose tree is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose<'a> {
    /// Everything that descends from the shim.
    All,
    /// The process of this key.
    Key(&'a str),
}

/// Those of `seen` that belong to `whose`, alive; `cookie` is asked for orphans only.
pub fn members(
    seen: &[Seen],
    shim: i32,
    known: &[Known<'_>],
    whose: Whose<'_>,
    cookie: impl Fn(i32) -> Option<String>,
) -> Vec<Member> {
    let mut children: BTreeMap<i32, Vec<&Seen>> = BTreeMap::new();
    for process in seen {
        children.entry(process.parent).or_default().push(process);
    }
    let roots = children.get(&shim).into_iter().flatten().copied();
    let mut waiting: Vec<&Seen> = roots.filter(|root| belongs(root, known, whose, &cookie)).collect();
    let (mut members, mut visited) = (Vec::new(), BTreeSet::new());
    while let Some(process) = waiting.pop() {
        // What was seen over some time may even contradict itself: never go round in circles.
        if process.pid == shim || !visited.insert(process.pid) {
            continue;
        }
        if !process.dead {
            members.push(Member { pid: process.pid, start_ticks: process.start_ticks });
        }
        waiting.extend(children.get(&process.pid).into_iter().flatten().copied());
    }
    members.sort_unstable();
    members
}

fn belongs(root: &Seen, known: &[Known<'_>], whose: Whose<'_>, cookie: &impl Fn(i32) -> Option<String>) -> bool {
    let Whose::Key(key) = whose else { return true };
    if let Some(itself) = known.iter().find(|known| (known.pid, known.start_ticks) == (root.pid, root.start_ticks)) {
        return itself.key == key;
    }
    let by_cookie = cookie(root.pid);
    if let Some(owner) = by_cookie.filter(|owner| known.iter().any(|known| known.key == *owner)) {
        return owner == key;
    }
    // The latest of those that ever had that pid and began before the orphan: nobody later can have left it behind.
    let leader = known
        .iter()
        .filter(|known| (known.pid == root.sid || known.pid == root.group) && known.start_ticks <= root.start_ticks)
        .max_by_key(|known| known.start_ticks);
    leader.is_some_and(|leader| leader.key == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIM: i32 = 10;

    fn seen(pid: i32, parent: i32, sid: i32) -> Seen {
        Seen { pid, parent, group: sid, sid, start_ticks: u64::try_from(pid).unwrap(), dead: false }
    }

    fn known(key: &str, pid: i32) -> Known<'_> {
        Known { key, pid, start_ticks: u64::try_from(pid).unwrap() }
    }

    fn pids(seen: &[Seen], known: &[Known<'_>], whose: Whose<'_>, cookies: &[(i32, &str)]) -> Vec<i32> {
        let cookie = |pid| cookies.iter().find(|(owner, _)| *owner == pid).map(|(_, cookie)| (*cookie).to_owned());
        members(seen, SHIM, known, whose, cookie).into_iter().map(|member| member.pid).collect()
    }

    #[test]
    fn descendants_belong_whatever_session_they_are_in() {
        let all = [seen(20, SHIM, 20), seen(21, 20, 20), seen(22, 21, 22), seen(30, SHIM, 30), seen(31, 30, 30)];
        let table = [known("a", 20), known("b", 30)];
        assert_eq!(pids(&all, &table, Whose::Key("a"), &[]), [20, 21, 22]);
        assert_eq!(pids(&all, &table, Whose::Key("b"), &[]), [30, 31]);
        assert_eq!(pids(&all, &table, Whose::All, &[]), [20, 21, 22, 30, 31]);
    }

    #[test]
    fn an_orphan_belongs_by_its_cookie_with_all_below_it() {
        let all = [seen(20, SHIM, 20), seen(40, SHIM, 40), seen(41, 40, 40)];
        let table = [known("a", 20), known("b", 19)];
        assert_eq!(pids(&all, &table, Whose::Key("a"), &[(40, "a")]), [20, 40, 41]);
        assert_eq!(pids(&all, &table, Whose::Key("b"), &[(40, "b")]), [40, 41]);
    }

    #[test]
    fn an_orphan_without_a_cookie_of_ours_belongs_by_its_session() {
        let all = [seen(40, SHIM, 20), seen(41, SHIM, 41)];
        let table = [known("a", 20)];
        assert_eq!(pids(&all, &table, Whose::Key("a"), &[]), [40]);
        assert_eq!(pids(&all, &table, Whose::Key("a"), &[(40, "unknown")]), [40]);
    }

    #[test]
    fn a_cookie_counts_for_more_than_a_session() {
        let all = [seen(40, SHIM, 20)];
        let table = [known("a", 20), known("b", 30)];
        assert_eq!(pids(&all, &table, Whose::Key("a"), &[(40, "b")]), Vec::<i32>::new());
        assert_eq!(pids(&all, &table, Whose::Key("b"), &[(40, "b")]), [40]);
    }

    #[test]
    fn a_process_that_reuses_the_pid_of_one_that_ended_is_not_taken_for_it() {
        let all = [seen(20, SHIM, 20), Seen { start_ticks: 900, ..seen(50, SHIM, 50) }];
        let table = [Known { key: "old", pid: 20, start_ticks: 5 }, known("new", 20)];
        assert_eq!(pids(&all, &table, Whose::Key("old"), &[]), Vec::<i32>::new());
        assert_eq!(pids(&all, &table, Whose::Key("new"), &[]), [20]);
        let later = [Known { key: "later", pid: 50, start_ticks: 1000 }];
        assert_eq!(pids(&all, &later, Whose::Key("later"), &[]), Vec::<i32>::new());
    }

    #[test]
    fn strangers_and_the_dead_do_not_belong() {
        let all = [Seen { dead: true, ..seen(20, SHIM, 20) }, seen(60, 1, 20), seen(SHIM, 1, SHIM)];
        assert_eq!(pids(&all, &[known("a", 20)], Whose::Key("a"), &[]), Vec::<i32>::new());
        assert_eq!(pids(&all, &[known("a", 20)], Whose::All, &[]), Vec::<i32>::new());
    }

    #[test]
    fn a_list_that_contradicts_itself_comes_to_an_end() {
        let all = [seen(20, SHIM, 20), seen(21, 20, 20), seen(20, 21, 20)];
        assert_eq!(pids(&all, &[known("a", 20)], Whose::Key("a"), &[]), [20, 21]);
    }
}
