// Records of several machines, through Redis: what the admin API changes here is written there, and
// one worker of each machine looks every second for what others have changed. The zone stays what
// requests look into; of two versions of a record the newer one wins, wherever it was made.
#pragma once

#include <span>

#include "ngx_llm_module/state/record_table.hpp"

namespace llm {

// When the worker begins, after start_redis(), and when it ends, before stop_redis().
void start_sharing(const Config &config);
void stop_sharing();

// Is this the worker that looks for what other machines say? There is one of each machine.
bool is_sharer(const Config &config);

enum class Shared : uint8_t {
    taken,    // it holds: Redis has it, or gets it when it is back (state=)
    clash,    // a key would have another one's alias
    stale,    // another machine was faster: what that said is in the zone
    refused,  // Redis is away, or does not take it
    unknown,  // there was no answer: it is being withdrawn
};

class ShareWaiter {
  public:
    // Told once, maybe at once. Unless it was taken the zone has what was there before, or what
    // holds as Redis says.
    virtual void on_shared(Shared how) = 0;

  protected:
    ~ShareWaiter() = default;
};

// Changes that are in the zone already go to Redis, and are on their way no longer when it has said
// what became of them. Told at once without llm_redis.
void share_changes(std::span<const RecordChange> changes, ShareWaiter &waiter);
// It has gone and must not be told: its change is withdrawn.
void forget_share(ShareWaiter &waiter);

}  // namespace llm
