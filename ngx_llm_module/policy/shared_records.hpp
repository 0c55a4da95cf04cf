// Records of several machines, through Redis: what the admin API changes here is written there, and
// one worker of each machine looks every second for what others have changed. The zone stays what
// requests look into; of two versions of a record the newer one wins, wherever it was made.
#pragma once

#include <span>

#include "ngx_llm_module/state/record_table.hpp"
#include "ngx_llm_module/state/state_keeper.hpp"

namespace llm {

// When the worker begins, after start_redis(), and when it ends, before stop_redis().
void start_sharing(const Config &config);
void stop_sharing();

// Is this the worker that looks for what other machines say? There is one of each machine.
bool is_sharer(const Config &config);

class ShareWaiter : public StoreWaiter {
  public:
    // In place of on_stored(): Redis has taken nothing, a key would have had another one's alias.
    virtual void on_clash() = 0;
    // So has it when another machine was faster. What that said is in the zone now, as far as it
    // has room: newer than the change, and than what that is taken back to.
    virtual void on_stale() = 0;
};

// Changes that are in the zone already go to Redis. Told at once without llm_redis. What Redis
// refuses is an error. A Redis that is away is one only where the change would live nowhere else
// (no state=): it gets all that it missed when it is back.
void share_changes(std::span<const RecordChange> changes, ShareWaiter &waiter);
// They were taken back here. Redis may have taken them, and others may not have heard of them; what
// others changed meanwhile stays, and comes here.
void hand_in_taken_back(std::span<const RecordChange> changes);
// It has gone and must not be told.
void forget_share(ShareWaiter &waiter);

}  // namespace llm
