#include "ngx_llm_module/policy/expired_keys.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/policy/record_json.hpp"
#include "ngx_llm_module/policy/shared_records.hpp"
#include "ngx_llm_module/state/state_keeper.hpp"

namespace llm {
namespace {

constexpr ngx_msec_t kInterval = 1000;
constexpr ngx_msec_t kPatience = 15000;
constexpr int kPieces = 4;             // of the table, each time
constexpr int64_t kKept = 30 * 86400;  // it may be given another end as long
constexpr int64_t kKeptReplaced = 60;  // clocks of machines differ

class Expiry;

// A deletion on its way to Redis. What another machine said of the key meanwhile holds.
class Removal final : public ShareWaiter {
  public:
    Removal(Expiry &expiry, const RecordChange &deletion) : expiry_(expiry), deletion_(deletion) {}
    ~Removal() { forget_share(*this); }

    void on_shared(Shared how) override;

  private:
    Expiry &expiry_;
    RecordChange deletion_;
};

class Expiry {
  public:
    explicit Expiry(const Config &config);
    ~Expiry();

  private:
    friend class Removal;

    static void on_timer(ngx_event_t *ev);
    void look();
    void remove(const std::string &hash, uint64_t version);

    const Config &config_;
    ngx_event_t timer_ = {};
    uint32_t bucket_ = 0;            // where the next piece begins
    ngx_msec_t patience_until_ = 0;  // with a Redis that did not take a deletion
    std::vector<std::unique_ptr<Removal>> removals_;
};

Expiry *current = nullptr;

bool is_over(const std::string &json, const std::string &hash, int64_t now) {
    int64_t end = stored_end(json);
    if (end > 0 && end + kKeptReplaced > now) {
        return false;
    }
    KeyRecord key;
    if (!read_stored(json, hash, key) || key.expires == 0) {
        return false;
    }
    return key.expires + (key.replaced_by.empty() ? kKept : kKeptReplaced) <= now;
}

void Removal::on_shared(Shared how) {
    if (how == Shared::taken) {
        store_changes({&deletion_, 1});  // else it is deleted once more after a restart
    } else {
        expiry_.patience_until_ = ngx_current_msec + kPatience;
    }
    std::erase_if(expiry_.removals_, [this](const auto &one) { return one.get() == this; });
}

Expiry::Expiry(const Config &config) : config_(config) {
    timer_.handler = guard<on_timer>;
    timer_.data = this;
    timer_.log = ngx_cycle->log;
    timer_.cancelable = 1;
    ngx_add_timer(&timer_, kInterval);
}

Expiry::~Expiry() {
    if (timer_.timer_set) {
        ngx_del_timer(&timer_);
    }
}

void Expiry::on_timer(ngx_event_t *ev) {
    auto &self = *static_cast<Expiry *>(ev->data);
    ngx_add_timer(ev, kInterval);
    bool is_patience_over = ngx_msec_int_t(ngx_current_msec - self.patience_until_) >= 0;
    if (is_patience_over && is_sharer(self.config_)) {
        self.look();
    }
}

void Expiry::look() {
    int64_t now = ngx_time();
    std::vector<std::pair<std::string, uint64_t>> over;
    for (int i = 0; i < kPieces; i++) {
        bucket_ = for_some_records(
            config_, bucket_, kStoredEnd,
            [&](RecordKind kind, const std::string &id, const std::string &json, uint64_t version) {
                if (kind == RecordKind::key && is_over(json, id, now)) {
                    over.emplace_back(id, version);
                }
            });
        if (bucket_ == 0) {
            break;
        }
    }
    for (const auto &[hash, version] : over) {
        remove(hash, version);
    }
}

void Expiry::remove(const std::string &hash, uint64_t version) {
    RecordChange change{RecordKind::key, hash, {}, version, 0, 0, {}};
    if (change_records(config_, {&change, 1}) == Changed::done) {
        Removal &removal = *removals_.emplace_back(std::make_unique<Removal>(*this, change));
        share_changes({&change, 1}, removal);
    }
}

}  // namespace

void start_expiry(const Config &config) {
    stop_expiry();
    current = new Expiry(config);
}

void stop_expiry() {
    delete std::exchange(current, nullptr);
}

}  // namespace llm
