//! Past runs, a line each.

use refit_model::{PlanId, RunId, Timestamp};

use crate::page::Page;
use crate::paint::{Paint, Style};
use crate::time::{between, duration, minute};
use crate::words::{clean, width};

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunLine {
    /// The run.
    pub run: RunId,
    /// The plan that it carried out.
    pub plan: PlanId,
    /// Who began it: `user@host`.
    pub who: String,
    /// When.
    pub opened_at: Timestamp,
    /// When it ended; none: it has not.
    pub ended_at: Option<Timestamp>,
    /// How it stands, in a word or two.
    pub state: String,
}

/// A table of runs, in the order given.
pub fn history_text(runs: &[RunLine], style: Style) -> String {
    let mut page = Page::new(style);
    if runs.is_empty() {
        page.line(0, 0).put(Paint::Plain, "No runs yet.");
        return page.finish();
    }
    let head = ["RUN", "STARTED (UTC)", "TOOK", "STATE", "PLAN", "WHO"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(runs.iter().map(row)).collect();
    let widest = |column: usize| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0);
    let mut begins = [0; 6];
    for column in 1..begins.len() {
        begins[column] = begins[column - 1] + widest(column - 1) + 2;
    }
    if begins[5] + widest(5) <= page.columns() {
        for (number, row) in rows.iter().enumerate() {
            let paint = if number == 0 { Paint::Dim } else { Paint::Plain };
            page.line(0, 4);
            for (cell, column) in row.iter().zip(begins).filter(|(cell, _)| !cell.is_empty()) {
                page.column(column).put(paint, cell);
            }
        }
    } else {
        for [run, started, took, state, plan, who] in rows.iter().skip(1) {
            page.line(0, 4).put(Paint::Heading, run).space(2).words(Paint::Plain, state);
            page.line(4, 6).put(Paint::Plain, &format!("{started} UTC")).space(2);
            if !took.is_empty() {
                page.put(Paint::Plain, took).space(2);
            }
            page.put(Paint::Plain, &format!("plan {plan}"));
            page.space(2).put(Paint::Plain, who);
        }
    }
    page.finish()
}

fn row(line: &RunLine) -> [String; 6] {
    let RunLine { run, plan, who, opened_at, ended_at, state } = line;
    let took = ended_at.map(|ended| duration(between(*opened_at, ended))).unwrap_or_default();
    let cells =
        [run.to_string(), minute(*opened_at), took, state.clone(), plan.to_string(), who.clone()];
    cells.map(|cell| clean(&cell).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_where_it_fits_and_a_list_where_not() {
        let run = |run: &str, ended: Option<&str>, state: &str| RunLine {
            run: run.parse().unwrap(),
            plan: "7f3a91c04be2".parse().unwrap(),
            who: "ana@laptop".into(),
            opened_at: "2026-11-02T09:14:02Z".parse().unwrap(),
            ended_at: ended.map(|at| at.parse().unwrap()),
            state: state.into(),
        };
        let runs = [
            run("r-2", None, "running"),
            run("r-1", Some("2026-11-02T10:20:02Z"), "partly applied"),
        ];
        insta::assert_snapshot!(history_text(&runs, Style::default()), @"
        RUN  STARTED (UTC)     TOOK       STATE           PLAN          WHO
        r-2  2026-11-02 09:14             running         7f3a91c04be2  ana@laptop
        r-1  2026-11-02 09:14  1 h 6 min  partly applied  7f3a91c04be2  ana@laptop
        ");
        insta::assert_snapshot!(history_text(&runs, Style { color: false, width: 60, ..Style::default() }), @"
        r-2  running
            2026-11-02 09:14 UTC  plan 7f3a91c04be2  ana@laptop
        r-1  partly applied
            2026-11-02 09:14 UTC  1 h 6 min  plan 7f3a91c04be2
              ana@laptop
        ");
    }
}
