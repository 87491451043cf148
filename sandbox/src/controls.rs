//! What every simulator can be told and asked, written once: each has its faults and its barrier in its state.

/// Gives a simulator the methods that add and remove faults, and the one that waits for a state. `operations` says
/// which operations its faults may have.
macro_rules! controls {
    ($simulator:ty, $operations:literal) => {
        /// Faults, and waiting for what happens.
        impl $simulator {
            #[doc = concat!("Adds a fault ", $operations, ".")]
            pub fn fault(&self, fault: $crate::fault::Fault) {
                self.state.faults.add(fault);
            }

            /// Removes all faults. Held requests stay held.
            pub fn clear_faults(&self) {
                self.state.faults.clear();
            }

            /// How many requests are being held.
            pub fn held(&self) -> usize {
                self.state.faults.held()
            }

            /// Lets the requests that are held now go on.
            pub fn release(&self) {
                self.state.faults.release();
            }

            /// Waits until `reached` holds; it is checked after each change, so it should be quick.
            ///
            /// # Errors
            /// It did not hold in time.
            pub async fn wait_for(
                &self,
                reached: impl Fn(&Self) -> bool,
                timeout: std::time::Duration,
            ) -> Result<(), $crate::barrier::TimedOut> {
                self.state.barrier.wait_for(|| reached(self), timeout).await
            }
        }
    };
}

/// Gives the simulator of a store's API the methods that tell of the calls so far.
macro_rules! record {
    ($simulator:ty) => {
        /// The record of the calls.
        impl $simulator {
            /// How many calls of this kind came, answered or not; [`Operation::Any`](crate::Operation::Any) counts all
            /// kinds.
            pub fn call_count(&self, operation: $crate::fault::Operation) -> u64 {
                self.state.record.count(operation)
            }

            /// The calls so far, if details are recorded.
            pub fn calls(&self) -> Vec<$crate::store::Call> {
                self.state.record.calls()
            }

            /// Turns the recording of details on or off; calls are counted in any case.
            pub fn record_details(&self, keep: bool) {
                self.state.record.keep_details(keep);
            }
        }
    };
}

pub(crate) use {controls, record};
