//! Deliberate mistakes, each of which a seed has to find: what the simulator cannot see, it does not protect.

/// A mistake.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// What it is called.
    pub name: &'static str,
    /// What it stands for.
    pub mistake: &'static str,
    /// The file, from the workspace's folder.
    pub file: &'static str,
    /// What stands there, exactly once.
    pub find: &'static str,
    /// What stands there instead.
    pub replace: &'static str,
    /// Seeds within which it has to be found.
    pub seeds: u32,
}

/// Seeds within which nearly every mistake is found.
const SEEDS: u32 = 2000;
/// Seeds for what needs a node that is behind, a reorganisation and a look-up to meet.
const RARE_SEEDS: u32 = 6000;

/// All mistakes.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "broadcast-before-commit",
        mistake: "bytes go to nodes before they are durable",
        file: "crates/lanes/src/lane/attempt.rs",
        find: "self.stage.after(Output::Broadcast(offer));",
        replace: "self.outputs.push_back(Output::Broadcast(offer));",
        seeds: SEEDS,
    },
    Mutant {
        name: "nonce-before-commit",
        mistake: "the next nonce is written with a later commit than the bytes that use it",
        file: "crates/lanes/src/lane/attempt.rs",
        find: r#"            self.stage.touch_account(address);
            self.mend_cancelled(address, next);"#,
        replace: "            self.mend_cancelled(address, next);",
        seeds: SEEDS,
    },
    Mutant {
        name: "change-untold",
        mistake: "a change of a status is not told of in the commit that makes it",
        file: "crates/lanes/src/lane/stage.rs",
        find: "let statuses = after.iter().filter_map(Output::status).collect();",
        replace: "let statuses = Vec::new();",
        seeds: SEEDS,
    },
    Mutant {
        name: "time-out-is-failure",
        mistake: "an offer without an answer counts as refused for good",
        file: "crates/lanes/src/lane/offer.rs",
        find: r#"        if unknown || said(Self::Unknown) {
            return Self::Unknown;"#,
        replace: r#"        if unknown || said(Self::Unknown) {
            return Self::Never;"#,
        seeds: SEEDS,
    },
    Mutant {
        name: "bump-of-nine-percent",
        mistake: "a higher bid is nine percent higher",
        file: "crates/lanes/src/fees.rs",
        find: "let tenth = fee / 10 + u128::from(!fee.is_multiple_of(10));",
        replace: "let tenth = fee * 9 / 100;",
        seeds: SEEDS,
    },
    Mutant {
        name: "no-fence",
        mistake: "commits carry no epoch and demand nothing of what was written before",
        file: "crates/engine/src/driver/commit.rs",
        find: r#"        let mut batch = Batch::new(self.context.relayer.lane()).fenced(self.epoch);
        batch.require.push(match self.link {
            Some(version) => Precondition::At(LINK.clone(), version),
            None => Precondition::Absent(LINK.clone()),
        });"#,
        replace: "        let mut batch = Batch::new(self.context.relayer.lane());",
        seeds: SEEDS,
    },
    Mutant {
        name: "no-link",
        mistake: "a commit that comes late overwrites those that followed it",
        file: "crates/engine/src/driver/commit.rs",
        find: r#"        batch.require.push(match self.link {
            Some(version) => Precondition::At(LINK.clone(), version),
            None => Precondition::Absent(LINK.clone()),
        });"#,
        replace: "",
        seeds: SEEDS,
    },
    Mutant {
        name: "lost-reply-is-failure",
        mistake: "a commit without an answer is given up, and the lane goes on as if it had been refused",
        file: "crates/engine/src/driver/commit.rs",
        find: "                Ok(Err(error)) if error.retry() == Retry::Never => {",
        replace: "                Ok(Err(error)) if error.retry() != Retry::Safe => {",
        seeds: SEEDS,
    },
    Mutant {
        name: "no-adoption",
        mistake: "what a node shows is never taken for a request of the lane's own",
        file: "crates/lanes/src/lane/survey.rs",
        find: "queue.ids().find(asks)",
        replace: "queue.ids().find(asks).filter(|_| false)",
        seeds: SEEDS,
    },
    Mutant {
        name: "cancelled-is-offered-again",
        mistake: "the payload of a cancelled request goes to nodes again and again",
        file: "crates/lanes/src/lane/mend.rs",
        find: r#"                let latest = slot.attempts.last()?;
                let due = now.since(latest.last_offer) >= pause;"#,
        replace: r#"                let latest = slot.attempts.first()?;
                let due = now.since(latest.last_offer) >= pause;"#,
        seeds: SEEDS,
    },
    Mutant {
        name: "reorganisation-ignored",
        mistake: "what was mined stays mined, whatever becomes of its block",
        file: "crates/lanes/src/lane/chain.rs",
        find: "        if to >= head.number {",
        replace: "        if to > 0 {",
        seeds: SEEDS,
    },
    Mutant {
        name: "final-too-early",
        mistake: "a block counts as final one block too early",
        file: "crates/lanes/src/lane/foreign.rs",
        find: "head >= block.saturating_add(self.config.profile.required_confirmations)",
        replace: "head + 1 >= block.saturating_add(self.config.profile.required_confirmations)",
        seeds: SEEDS,
    },
    Mutant {
        name: "balance-ignored",
        mistake: "nonces are given out whatever the account has",
        file: "crates/lanes/src/lane/bind.rs",
        find: "account.balance >= U256::from(config.policy.min_balance) && account.available() >= cost",
        replace: "account.balance >= U256::from(config.policy.min_balance) || account.available() >= cost",
        seeds: SEEDS,
    },
    Mutant {
        name: "cap-ignored",
        mistake: "nonces are given out whatever is in flight",
        file: "crates/lanes/src/lane/bind.rs",
        find: "matches!(account.phase, Phase::Ready) && in_flight < cap as usize",
        replace: "matches!(account.phase, Phase::Ready) && in_flight <= cap as usize",
        seeds: SEEDS,
    },
    Mutant {
        name: "noop-for-a-payable-nonce",
        mistake: "a request that reverts now is given up although its bytes may be mined",
        file: "crates/lanes/src/lane/offer.rs",
        find: "            Outcome::TooCheap => self.mend_price(address, nonce, now),",
        replace: "            Outcome::TooCheap => self.give_up(address, nonce, hash, answers),",
        seeds: SEEDS,
    },
    Mutant {
        name: "inbox-not-advanced",
        mistake: "the position of the inbox is not written with what was made of it",
        file: "crates/lanes/src/lane/inbox.rs",
        find: "        self.stage.trim(position);",
        replace: "        let _: u64 = position;",
        seeds: SEEDS,
    },
    Mutant {
        name: "stale-nonce-trusted",
        mistake: "a receipt that was looked up counts as certain, whatever node said so",
        file: "crates/lanes/src/lane/foreign.rs",
        find: "            let certain = self.is_final_at(receipt.block_number, asked.head);",
        replace: "            let certain = asked.head > 0;",
        seeds: RARE_SEEDS,
    },
    Mutant {
        name: "foreign-on-a-word",
        mistake: "that no receipt is found proves that somebody else used a nonce",
        file: "crates/lanes/src/lane/foreign.rs",
        find: r#"        if slot.request.is_none() {
            return self.settle_foreign(address, nonce, now);
        }
        if slot.observing.is_none() {"#,
        replace: r#"        if slot.attempts.len() < 100 {
            return self.settle_foreign(address, nonce, now);
        }
        if slot.observing.is_none() {"#,
        seeds: SEEDS,
    },
    Mutant {
        name: "key-not-reserved",
        mistake: "two requests are accepted under one idempotency key",
        file: "crates/engine/src/service/accept.rs",
        find: "        batch.require.push(Precondition::Absent(name.clone()));",
        replace: "",
        seeds: SEEDS,
    },
    Mutant {
        name: "wake-ups-trusted",
        mistake: "the inbox is only looked at when a wake-up was heard",
        file: "crates/engine/src/driver/inbox.rs",
        find: "const WAIT: Duration = Duration::from_secs(10);",
        replace: "const WAIT: Duration = Duration::from_secs(36_000);",
        seeds: SEEDS,
    },
    Mutant {
        name: "never-offered-again",
        mistake: "what a node once acknowledged is never offered again",
        file: "crates/lanes/src/lane/mend.rs",
        find: "        if waited && slot.is_acknowledged() {",
        replace: "        if waited && !slot.is_acknowledged() {",
        seeds: SEEDS,
    },
    Mutant {
        name: "unsearched-cancel",
        mistake: "a request ends before it is known whether it was sent",
        file: "crates/lanes/src/lane/inbox.rs",
        find: "            if may_be_sent {",
        replace: "            if may_be_sent && !by_caller {",
        seeds: SEEDS,
    },
];
