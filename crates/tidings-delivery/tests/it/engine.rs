//! The engine, with paused time: retries that wait for hours take no time here.

mod answers;
mod clock_jumps;
mod damage;
mod deadlines;
mod kept_tokens;
mod keys_and_tokens;
mod lanes_and_shares;
mod loading;
mod manners;
mod outages;
mod planning;
mod pruning;
mod recording;
mod retries;
mod shutdown;
mod start_up;
mod strangers;
