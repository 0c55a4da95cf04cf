// Writes the state file without stopping the worker: in a thread of nginx's default pool, one job
// at a time, all changes of one turn in one line. Without threads in nginx the worker waits for its
// disk. One of the workers is the keeper: it saves counters when they have changed, about once a
// second, and replaces the journal by a snapshot when it has grown.
#pragma once

#include <memory>
#include <span>

#include "ngx_llm_module/state/record_table.hpp"

namespace llm {

// Told once, from the event loop, maybe at once.
class StoreWaiter {
  public:
    virtual void on_stored(bool is_stored) = 0;

  protected:
    ~StoreWaiter() = default;
};

// Thread pools must be asked for while the configuration is read. False: out of memory.
bool add_state_threads(ngx_conf_t *cf);

// When the worker begins and ends.
void start_state_keeper(const Config &config, ngx_cycle_t *cycle);
void stop_state_keeper();
// By the master at its end: what a worker that was killed could not save.
void save_last_state(const Config &config);
// Is that much of a section on the disk? Also true without state=.
bool is_saved(const Config &config, std::string_view section, uint64_t generation);

// Changes that are in the zone already go to the disk. Without state= the waiter is told at once.
void store_changes(std::span<const RecordChange> changes, StoreWaiter &waiter);
// Nobody waits for it.
void store_changes(std::span<const RecordChange> changes);
// It has gone and must not be told.
void forget_store(StoreWaiter &waiter);

}  // namespace llm
