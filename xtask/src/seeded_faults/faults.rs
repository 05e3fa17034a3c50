//! The faults: what each one changes, and which cases are about it.

/// A mistake that somebody could make in a store.
pub(crate) struct Fault {
    /// What the store does with it.
    pub(crate) name: &'static str,
    /// What is changed in its source.
    pub(crate) edits: &'static [Edit],
    /// The cases of the suite that must fail.
    pub(crate) cases: &'static [&'static str],
}

/// One exact replacement of text that occurs once in its file.
pub(crate) struct Edit {
    /// The file, in the store's crate.
    pub(crate) file: &'static str,
    /// What is there.
    pub(crate) from: &'static str,
    /// What takes its place.
    pub(crate) to: &'static str,
}

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        name: "a lost lease still records",
        edits: &[
            Edit {
                file: "src/outcomes.rs",
                from: "WHERE id = ?1 AND lease_token = ?2\";
        let mut statement",
                to: "WHERE id = ?1 AND ?2 IS NOT NULL\";
        let mut statement",
            },
            Edit {
                file: "src/outcomes.rs",
                from: "cancelled = cancelled + ?10
            WHERE id = ?1 AND lease_token = ?2",
                to: "cancelled = cancelled + ?10
            WHERE id = ?1 AND ?2 IS NOT NULL",
            },
        ],
        cases: &[
            "leases::a_lost_lease_records_nothing",
            "leases::a_lost_lease_does_not_disturb_the_next",
            "leases::a_released_lease_records_nothing",
            "leases::a_finished_lease_records_nothing",
            "leases::a_lease_with_another_token_is_none",
            "random_operations::the_store_agrees_with_the_model",
        ],
    },
    Fault {
        name: "an outcome is counted twice",
        edits: &[Edit {
            file: "src/outcomes.rs",
            from: "        if !self.settled.set(position.0) {
            return Ok(());
        }
",
            to: "        self.settled.set(position.0);
",
        }],
        cases: &[
            "recording::an_outcome_recorded_twice_counts_once",
            "recording::a_final_outcome_is_never_replaced",
            "random_operations::the_store_agrees_with_the_model",
        ],
    },
    Fault {
        name: "a planner's cursor moves without batches",
        edits: &[Edit {
            file: "src/plans.rs",
            from: "added.push(insert(connection, step, &planned, batch)?);",
            to: "added.extend(insert(connection, step, &planned, batch));",
        }],
        cases: &["planning::a_step_is_taken_whole_or_not_at_all"],
    },
];
