#include "ngx_llm_module/policy/record_cache.hpp"

#include <utility>

#include "ngx_llm_module/policy/record_json.hpp"
#include "ngx_llm_module/state/record_table.hpp"

namespace llm {
namespace {

constexpr size_t kMaxEntries = 4096;  // of one kind

// Once in a worker: all records may be of that version.
void warn_of_later_version() {
    static bool has_warned = false;
    if (!std::exchange(has_warned, true)) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "llm: a record has members of a later version of this module, which are "
                      "ignored: another gateway was updated, this one should be");
    }
}

template <class Record>
class Cache {
  public:
    explicit Cache(RecordKind kind) : kind_(kind) {}

    std::shared_ptr<const Record> find(const Config &config, const std::string &id) {
        // Read before the record: what is copied afterwards is at least as new.
        uint64_t generation = records_generation(config);
        if (id.empty() || generation == 0) {
            return nullptr;  // nothing was ever made at run time
        }
        auto entry = entries_.find(id);
        if (entry != entries_.end() && entry->second.generation == generation) {
            return entry->second.record;
        }
        StoredRecord stored = find_record(config, kind_, id);
        if (entry != entries_.end() && entry->second.version == stored.version) {
            entry->second.generation = generation;
            return entry->second.record;
        }
        if (entry != entries_.end()) {
            entries_.erase(entry);
        }
        if (stored.json.empty()) {
            return nullptr;
        }
        auto record = std::make_shared<Record>();
        bool has_unknown = false;
        if (!read_stored(stored.json, id, *record, &has_unknown)) {
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "llm: a record of the zone cannot be understood");
            record->is_blocked = true;  // as if it were not there, its limits would not hold
        }
        if (has_unknown) {
            warn_of_later_version();
        }
        if (entries_.size() >= kMaxEntries) {
            entries_.clear();
        }
        entries_[id] = {generation, stored.version, record};
        return record;
    }
    void clear() { entries_.clear(); }

  private:
    struct Entry {
        uint64_t generation = 0;
        uint64_t version = 0;
        std::shared_ptr<const Record> record;
    };
    RecordKind kind_;
    std::unordered_map<std::string, Entry> entries_;
};

// Of this worker.
struct Caches {
    Cache<KeyRecord> keys{RecordKind::key};
    Cache<TeamRecord> teams{RecordKind::team};
    Cache<UserRecord> users{RecordKind::user};
    Cache<UserRecord> customers{RecordKind::customer};
};

Caches *caches = nullptr;

Caches &own_caches() {
    if (caches == nullptr) {
        caches = new Caches();
    }
    return *caches;
}

template <class Record>
std::shared_ptr<const Record> configured(
    const std::unordered_map<std::string, std::shared_ptr<const Record>> &records,
    const std::string &id) {
    auto found = records.find(id);
    return found != records.end() ? found->second : nullptr;
}

}  // namespace

std::shared_ptr<const KeyRecord> find_key(const Config &config, const std::string &hash) {
    auto found = configured(config.keys, hash);
    return found != nullptr ? found : own_caches().keys.find(config, hash);
}

std::shared_ptr<const TeamRecord> find_team(const Config &config, const std::string &id) {
    auto found = configured(config.teams, id);
    return found != nullptr ? found : own_caches().teams.find(config, id);
}

std::shared_ptr<const UserRecord> find_user(const Config &config, const std::string &id) {
    return own_caches().users.find(config, id);
}

std::shared_ptr<const UserRecord> find_customer(const Config &config, const std::string &id) {
    return own_caches().customers.find(config, id);
}

void clear_record_cache() {
    delete caches;
    caches = nullptr;
}

}  // namespace llm
