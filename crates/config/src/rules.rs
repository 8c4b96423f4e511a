//! The page of rules, made of the codes of findings and of the skew policy as data.

use std::fmt::Write as _;

use refit_model::skew::SkewRule;
use refit_model::{Code, RuleSource};

const HEAD: &str = "\
<!-- Generated from the codes and the skew policy by `cargo regenerate`. Do not edit. -->

# Rules

What refit holds a plan to, and where that is written down. [Findings](findings.md) tells for each
code what was seen and what to do; [how the planner thinks](../concepts/planning.md) how a way is
found that keeps to all of them.

## Version skew

These hold for every pair that can be live at the same time, at every moment of a plan.

| Rule | Source |
|---|---|
";

const CODES: &str = "
## Codes

| Code | What it stands for | Source |
|---|---|---|
";

/// `docs/reference/rules.md`: every rule and every code, with its source.
pub fn rules() -> String {
    let mut page = HEAD.to_owned();
    for rule in SkewRule::ALL {
        let _ = writeln!(page, "| {rule} | {} |", link(SkewRule::SOURCE));
    }
    page.push_str(CODES);
    for code in Code::ALL {
        let title = code.title();
        let heading = format!("{code}: {title}");
        let anchor: String = heading
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let source = code.source().map_or_else(String::new, link);
        let _ = writeln!(page, "| [{code}](findings.md#{anchor}) | {title} | {source} |");
    }
    page
}

fn link(RuleSource { name, link }: RuleSource) -> String {
    format!("[{name}]({link})")
}
