//! What is compiled and committed, against its sources.

use super::Finding;
use super::workspace::Workspace;
use crate::kernels::test_objects::{COMMAND, PATH, stale};

/// The code objects that tests execute are those of today's kernels.
pub fn up_to_date(workspace: &Workspace) -> Vec<Finding> {
    let finding = |fault| Finding::new(PATH, format!("{fault}: run `{COMMAND}`, which needs hipcc"));
    stale(&workspace.test_objects).map(finding).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::workspace::fake::found;
    use super::*;

    #[test]
    fn an_archive_that_is_missing_is_one_finding_with_the_command() {
        let findings = found(up_to_date(&Workspace::default()));
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with(PATH) && findings[0].contains(COMMAND), "{findings:?}");
    }
}
