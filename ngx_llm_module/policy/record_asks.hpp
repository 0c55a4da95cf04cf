// What Redis is asked to take of records, and what it says then (put_records.lua).
//
// A change is asked for until Redis has said what became of it: again under its number where no
// answer came, so that it is made once. When nobody waits for it any more it is withdrawn: the zone
// has what was there before, and Redis says what holds. Until it has, the record stays on its way
// and no other change is made of it: one that was made of what does not hold could undo what
// another machine has acknowledged.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ngx_llm_module/policy/shared_records.hpp"
#include "ngx_llm_module/redis/client.hpp"

namespace llm {

class RecordAsk;
class RecordCommand;

// What a worker shares records with.
class RecordShare {
  public:
    RecordShare(const Config &own_config, RedisClient &own_client);
    ~RecordShare();
    RecordShare(const RecordShare &) = delete;
    RecordShare &operator=(const RecordShare &) = delete;

    bool is_up() const { return client.is_up(base); }
    // For so long that nobody waits for it.
    bool is_away() const;
    bool is_kept_here() const { return !config.state_path.empty(); }
    void on_missed() { has_missed = owes = true; }
    // Redis does not take one: it is full, or only lets us read.
    void on_refused(std::string_view why);

    const Config &config;
    RedisClient &client;
    const std::string base;         // of all names in Redis, with its hash tag
    bool has_missed = true;         // Redis may lack records of ours
    bool owes = false;              // it lacks one that this worker took
    ngx_msec_t patience_until = 0;  // before that nothing is handed in again

  private:
    time_t complained_ = 0;
};

// As put_records.lua has it.
enum class RecordUse : uint8_t { hand_in, change, withdraw, adopt };

class RecordAsk {
  public:
    // `use`: change, or adopt.
    RecordAsk(RecordShare &share, RecordUse use, std::vector<RecordChange> changes,
              ShareWaiter *waiter);
    ~RecordAsk();
    RecordAsk(const RecordAsk &) = delete;
    RecordAsk &operator=(const RecordAsk &) = delete;

    // False: Redis is away.
    bool send();
    // Time goes on.
    void tick();
    // Redis will not be asked.
    void give_up();
    // Nobody waits for it any more.
    void forget_waiter();
    bool is_awaited_by(const ShareWaiter &waiter) const { return waiter_ == &waiter; }
    // Redis has said what holds.
    bool is_over() const { return is_over_; }

  private:
    friend class RecordCommand;

    void on_reply(const RedisReply &reply);
    void on_lost(RedisLoss loss);
    void take_back();
    void withdraw();
    void keep();
    void end();
    void tell(Shared how);

    RecordShare &share_;
    RecordUse use_;
    std::vector<RecordChange> changes_;
    ShareWaiter *waiter_;
    const std::string number_;
    RecordCommand *sent_ = nullptr;  // its answer is awaited
    const ngx_msec_t began_;
    ngx_msec_t next_ = 0;  // it is not sent again before
    bool was_sent_ = false;
    bool may_be_made_ = false;  // Redis may have taken it, or will
    bool is_over_ = false;
};

// Records that hold here: Redis takes those that are newer than its own. False: it is away.
bool hand_in(RecordShare &share, const std::vector<RecordChange> &records);

// Names and what they stand for, from this place of a list on, go to the zone.
struct MergedList {
    size_t count = 0;
    bool is_whole = true;    // else some are on their way, or apart: look again
    bool has_apart = false;  // Redis lacks records of ours
};
MergedList merge_list(const Config &config, const RedisReply &list, size_t from);

// Nobody has had it.
std::string new_name();

}  // namespace llm
