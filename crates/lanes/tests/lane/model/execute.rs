//! Doing what the lane wants done.

use baton_lanes::record::ReceiptRecord;
use baton_lanes::{Answer, GasEstimate, Input, Offer, Output, Survey, SurveyedAccount, Verdict};
use baton_model::{Address, B256, Call};

use super::World;
use super::chain::{self, BLOCK_GAS};

/// First byte of the data of calls that revert when their gas is estimated.
pub(crate) const ESTIMATE_REVERTS: u8 = 0xcc;

/// Verdicts that a node may give for no reason.
const LIES: [Verdict; 12] = [
    Verdict::AlreadyKnown,
    Verdict::NonceTooLow,
    Verdict::NonceTooHigh,
    Verdict::ReplacementUnderpriced,
    Verdict::Underpriced,
    Verdict::InsufficientFunds,
    Verdict::PoolFull,
    Verdict::NeverMinable,
    Verdict::RevertsNow,
    Verdict::DelegatedLimit,
    Verdict::Busy,
    Verdict::Unknown,
];

impl World {
    /// Executes a task; its answer is on its way then. False when it cannot be done now.
    pub(crate) fn execute(&mut self, index: usize) -> bool {
        let signing = matches!(self.tasks[index], Output::Sign { .. });
        let offering = matches!(self.tasks[index], Output::Broadcast(_));
        if self.faults.nodes_down && !signing && !offering {
            return false;
        }
        let answer = match self.tasks.remove(index) {
            Output::Survey => self.survey(),
            Output::Lookup {
                account,
                nonce,
                hashes,
            } => Input::Found {
                account,
                nonce,
                receipt: self.look_up(&hashes),
            },
            Output::Observe { account, nonce } => self.observe(account, nonce),
            Output::Estimate { id, call, .. } => Input::Estimated {
                id,
                estimate: self.estimate(&call),
            },
            Output::Sign {
                ticket,
                account,
                tx,
            } => {
                let works = !self.faults.signers_down && !self.rng.percent(self.faults.lies / 2);
                let signed = works.then(|| chain::sign(account, tx));
                Input::Signed { ticket, signed }
            }
            Output::Broadcast(offer) => self.offer(&offer),
            Output::FetchMarket => Input::Market(self.chain.market()),
            other @ (Output::Status { .. } | Output::Alarm(_)) => {
                panic!("{other:?} is not a task")
            }
        };
        self.answers.push(answer);
        true
    }

    fn survey(&mut self) -> Input {
        let head = self.chain.head();
        let accounts = head.state.iter().map(|(address, state)| SurveyedAccount {
            address: *address,
            nonce: state.nonce,
            pending: (!self.faults.poolless).then(|| self.chain.pending_nonce(*address)),
            balance: state.balance,
        });
        Input::Surveyed(Survey {
            block: head.number,
            gas_limit: BLOCK_GAS,
            accounts: accounts.collect(),
        })
    }

    /// Receipts as a node sees them: perhaps some blocks behind, or still on blocks that are gone.
    fn look_up(&mut self, hashes: &[B256]) -> Option<ReceiptRecord> {
        let lag = if self.rng.percent(self.faults.lies * 5) {
            self.rng.below(4)
        } else {
            0
        };
        let seen = self.chain.seen_by_laggard(lag);
        let stable = self.chain.top.saturating_sub(self.chain.confirmations);
        if self.rng.percent(self.faults.lies * 2) {
            let gone = self.chain.dead.iter().rev();
            let mut gone = gone.filter(|block| block.number > stable);
            let found = gone.find_map(|b| hashes.iter().find_map(|hash| b.find(*hash)));
            if let Some(mined) = found {
                return Some(mined.receipt.clone());
            }
        }
        let found = hashes.iter().filter_map(|hash| self.chain.mined(*hash));
        let mut receipts = found.map(|mined| mined.receipt.clone());
        receipts.find(|receipt| receipt.block_number <= seen)
    }

    fn observe(&mut self, account: Address, nonce: u64) -> Input {
        let blind = self.faults.blind || self.rng.percent(self.faults.lies * 3);
        let seen = self.chain.seen_by_laggard(0);
        let transaction = self.chain.observe(account, nonce, seen);
        Input::Observed {
            account,
            nonce,
            transaction: transaction.filter(|_| !blind),
        }
    }

    fn estimate(&mut self, call: &Call) -> GasEstimate {
        if self.rng.percent(self.faults.lies) {
            GasEstimate::Unknown
        } else if call.data.first() == Some(&ESTIMATE_REVERTS) {
            GasEstimate::Reverts("no".to_owned())
        } else {
            GasEstimate::Gas(21_000 + 16 * call.data.len() as u64)
        }
    }

    fn offer(&mut self, offer: &Offer) -> Input {
        let arrives = !self.faults.nodes_down || self.rng.percent(50);
        let said = arrives.then(|| self.chain.submit(&offer.raw));
        let mut answers = match said {
            _ if self.faults.nodes_down => vec![Answer::Unknown],
            None => vec![Answer::Unknown],
            Some(Ok(())) => vec![Answer::Accepted],
            Some(Err(verdict)) => vec![refused(verdict)],
        };
        if self.rng.percent(self.faults.lies) {
            answers = vec![Answer::Unknown];
        } else if self.rng.percent(self.faults.lies / 2) {
            answers = vec![refused(LIES[self.rng.index(LIES.len())])];
        } else if self.rng.percent(self.faults.lies) {
            answers.push(Answer::Unknown);
        }
        Input::Answered {
            account: offer.account,
            nonce: offer.nonce,
            hash: offer.hash,
            answers,
        }
    }

    /// Lets the lane hear an answer.
    pub(crate) fn deliver(&mut self, index: usize) {
        let answer = self.answers.remove(index);
        self.feed(answer);
    }

    /// Does everything at once and in order, until nothing is left to do at this time.
    pub(crate) fn run(&mut self) {
        loop {
            let mut busy = self.read_inbox() || self.commit(false) || self.tell_event();
            while !self.answers.is_empty() {
                self.deliver(0);
                busy = true;
            }
            let mut index = 0;
            while index < self.tasks.len() {
                if self.execute(index) {
                    busy = true;
                } else {
                    index += 1;
                }
            }
            for raw in std::mem::take(&mut self.orphans) {
                // Nobody hears what the node says to it.
                let _: Result<(), Verdict> = self.chain.submit(&raw);
            }
            if !busy {
                return;
            }
        }
    }

    /// Lets time pass in small steps, as a driver would, without blocks.
    pub(crate) fn pass(&mut self, millis: u64) {
        let end = self.now + millis;
        while self.now < end {
            self.now = (self.now + 250).min(end);
            self.feed(Input::Tick);
            self.run();
        }
    }

    /// Blocks of one second each, heard at once.
    pub(crate) fn blocks(&mut self, count: u64) {
        for _ in 0..count {
            self.mine(0);
            self.run();
            self.pass(1_000);
        }
    }
}

fn refused(verdict: Verdict) -> Answer {
    Answer::Refused {
        verdict,
        message: format!("{verdict:?}"),
    }
}
