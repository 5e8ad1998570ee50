//! What can go wrong, and at which moments a process can die.

/// Declares an enum whose variants have names, and a list of all of them.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// All of them, in their order.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)+];

            /// What it is called in traces and coverage.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

named! {
    /// A kind of fault.
    Fault {
        /// The store says no and applies nothing.
        CommitRefused => "commit refused",
        /// The store applies and does not say so.
        CommitReplyLost => "reply to a commit lost",
        /// The store applies much later, and says nothing.
        CommitLate => "commit applied later",
        /// The store takes seconds.
        CommitStalled => "commit stalled",
        /// A read is not answered.
        ReadRefused => "read refused",
        /// A read takes seconds.
        ReadSlow => "read slow",
        /// A lease operation has its effect and no answer.
        LeaseReplyLost => "reply about a lease lost",
        /// A lease operation has no effect and no answer.
        LeaseRefused => "lease refused",
        /// A wake-up is not heard.
        WakeLost => "wake-up lost",
        /// The store forgets its last seconds.
        StoreRolledBack => "store rolled back",
        /// No node answers a question.
        Unanswered => "question unanswered",
        /// A node answers a question with an error.
        ErrorAnswered => "question answered with an error",
        /// An answer comes seconds after it was true.
        AnswerSlow => "answer slow",
        /// A node answers that is behind, or on a branch that is gone.
        NodeStale => "stale node asked",
        /// No node can tell which transaction has a nonce.
        NodeBlind => "node cannot tell what has a nonce",
        /// Offered bytes do not reach a node.
        OfferDropped => "offer dropped",
        /// A node takes bytes and does not say so.
        OfferReplyLost => "reply to an offer lost",
        /// Offered bytes reach a node much later.
        OfferLate => "offer late",
        /// Offered bytes reach a node twice.
        OfferTwice => "offer duplicated",
        /// Offered bytes reach a node in another order.
        OfferShuffled => "offers reordered",
        /// A gateway answers instead of the node.
        NodeBusy => "node busy",
        /// A node says that it has a transaction and keeps nothing.
        TxForgotten => "transaction accepted and forgotten",
        /// A node loses its pool.
        NodeRestarted => "node restarted with an empty pool",
        /// A node stands still for a while.
        NodeStuck => "node stuck at a block",
        /// Pools are full of other transactions.
        PoolCrowded => "pools crowded",
        /// Nodes demand a tip.
        PriceFloor => "price floor raised",
        /// The base fee rises tenfold.
        FeeSpike => "base fee tenfold",
        /// Blocks are replaced.
        Reorg => "reorganisation",
        /// Transactions of replaced blocks come back in no pool.
        ReorgLoses => "transactions lost in a reorganisation",
        /// A head is not announced.
        HeadMissed => "head missed",
        /// The head of a node that is behind is announced.
        HeadBack => "older head announced",
        /// A signer fails.
        SignerFailed => "signer failed",
        /// A signer takes seconds.
        SignerSlow => "signer slow",
        /// A process stands still for seconds, and goes on.
        Freeze => "process paused",
        /// A process is told to stop.
        Stop => "process stopped in order",
        /// A process dies.
        Crash => "process crashed",
        /// An account is emptied.
        FundsGone => "account emptied",
        /// Somebody else uses the key.
        ForeignUse => "foreign use of the key",
    }
}

named! {
    /// What a process does to the world around it.
    Effect {
        /// A commit.
        Commit => "commit",
        /// A read.
        Read => "read",
        /// Taking, renewing or giving back a lease.
        Lease => "lease",
        /// A wake-up.
        Publish => "wake-up",
        /// A signature.
        Sign => "sign",
        /// An offer of signed bytes.
        Offer => "offer",
        /// A block.
        Block => "ask for a block",
        /// Receipts of a block.
        BlockReceipts => "ask for a block's receipts",
        /// Receipts by hash.
        Lookup => "ask for receipts by hash",
        /// Pending nonces.
        Survey => "ask for pending nonces",
        /// The transaction at a nonce.
        Observe => "ask what has a nonce",
        /// Gas.
        Estimate => "estimate gas",
        /// The fee market.
        Market => "ask for the market",
    }
}

named! {
    /// A moment around an effect.
    Moment {
        /// It has not begun.
        Before => "before",
        /// It is done, and its answer not heard.
        After => "after",
    }
}
