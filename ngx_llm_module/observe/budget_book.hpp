// The budgets that a worker knows. Records are read again only when they changed, some at a time,
// and what Redis counts is asked for between the pages, never while one is rendered: a page tells
// what Redis said last.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "ngx_llm_module/conf/config.hpp"
#include "ngx_llm_module/policy/redis_counter.hpp"
#include "ngx_llm_module/state/meters.hpp"

namespace llm {

struct BudgetRow {
    Scope scope = Scope::key;
    std::string id;     // under which it is counted
    std::string name;   // the gauge's
    std::string model;  // within it; empty: of all of them
    Budget budget;
    std::string period;    // the gauge's
    MeterKey meter;        // in the zone
    RedisCounter counter;  // in Redis
    int64_t used = 0;
    time_t told = 0;  // when Redis said so; 0: never
};

class BudgetBook {
  public:
    explicit BudgetBook(const Config &config);
    ~BudgetBook();

    const Config &config() const { return config_; }
    // By their ids. What is used is true of this moment, or as Redis said last. Looks for new
    // records, and sees to it that Redis is asked for the pages that follow.
    const std::vector<BudgetRow> &rows();
    // Redis was not asked yet, or has been away for long.
    bool is_known(const BudgetRow &row) const;

  private:
    friend class UsedCommand;

    struct OwnBudget {
        std::string model;  // empty: of all of them
        Budget budget;
    };
    struct Owner {
        Owner() = default;
        Owner(Scope of, const std::string &counted_as, const std::string &shown_as,
              const LimitSet &limits);

        Scope scope = Scope::key;
        std::string id, name;
        std::vector<OwnBudget> budgets;
    };
    struct Known {
        uint64_t version = 0;
        Owner owner;  // without budgets: it has none
    };

    static void on_timer(ngx_event_t *ev);
    static Owner owner_of(const KeyRecord &key);
    static Owner owner_of(const TeamRecord &team);
    template <class Record>
    static Owner read_owner(const std::string &json, const std::string &id);
    static Owner read_owner(int kind, const std::string &id, const std::string &json);
    void read_records();
    void make_rows();
    void add_rows(const Owner &owner);
    void look_into_zone();
    void ask(size_t first);
    void take(uint64_t edition, size_t first, size_t many, std::string_view answer);

    const Config &config_;
    std::string base_;  // of the counters in Redis; empty: the zone counts
    uint64_t generation_ = 0;
    std::unordered_map<std::string, Known> records_;
    std::vector<BudgetRow> rows_;
    uint64_t edition_ = 0;  // of rows_
    bool has_more_ = true;  // to read
    bool is_asking_ = false;
    time_t asked_ = 0;
    time_t read_ = 0;  // by a page
    ngx_event_t timer_ = {};
};

// Of this worker.
BudgetBook &budget_book(const Config &config);

}  // namespace llm
