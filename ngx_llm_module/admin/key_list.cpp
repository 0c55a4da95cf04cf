// Several keys at a time: lists with filters, order and pages, what is asked of some, all aliases.
// The former value of a regenerated key is no other key: it is shown to whoever asks for it.
#include <algorithm>
#include <array>

#include "ngx_llm_module/admin/sorting.hpp"
#include "ngx_llm_module/policy/record_cache.hpp"

namespace llm {
namespace {

constexpr std::string_view kOrders[] = {"token",     "created_at", "updated_at",
                                        "key_alias", "spend",      "max_budget"};

struct Filter {
    std::string_view member;
    std::string KeyRecord::*field;
    std::string value;
};

// What the query asks for.
struct Wish {
    std::array<Filter, 3> filters;
    std::string hash;
    Order order;

    explicit Wish(const AdminCall &call)
        : filters{{{"team_id", &KeyRecord::team, call.argument("team_id")},
                   {"user_id", &KeyRecord::user, call.argument("user_id")},
                   {"key_alias", &KeyRecord::alias, call.argument("key_alias")}}},
          hash(call.argument("key_hash")),
          order(order_of(call, kOrders, "created_at", true)) {
        hash = hash.empty() ? hash : hash_of_key(hash);
    }

    const Filter *first() const {
        auto found = std::find_if(filters.begin(), filters.end(),
                                  [](const Filter &filter) { return !filter.value.empty(); });
        return found != filters.end() ? &*found : nullptr;
    }
    bool is_for(const std::string &id) const { return hash.empty() || hash == id; }
    bool is_for(const KeyRecord &key) const {
        return (key.replaced_by.empty() || !hash.empty()) &&
               std::all_of(filters.begin(), filters.end(), [&](const Filter &filter) {
                   return filter.value.empty() || key.*filter.field == filter.value;
               });
    }
    // Else when a key was made is all that is read of it.
    bool looks_inside(const std::string &json) const {
        return first() != nullptr || (order.by != "created_at" && order.by != "token") ||
               json.find("\"replaced_by\":") != std::string::npos;
    }
};

Rank rank_of(const AdminCall &call, std::string_view by, const KeyRecord &key) {
    Rank rank;
    rank.id = key.hash;
    if (by == "created_at") {
        rank.set_number(key.created.order(), key.created.is_known());
    } else if (by == "updated_at") {
        rank.set_number(key.updated, key.updated != 0);
    } else if (by == "key_alias") {
        rank.set_text(key.alias);
    } else if (by == "spend") {
        rank.number = spent_by_all(call.config, SpendOf::key, key.counted_as()).cost;
    } else if (by == "max_budget") {
        bool has_own = key.limits.own_budgets() != 0;
        rank.set_number(has_own ? key.limits.budgets[0].nanos : 0, has_own);
    }
    return rank;
}

std::vector<Rank> find_keys(const AdminCall &call, const Wish &wish) {
    std::vector<Rank> found;
    for (const auto &[id, key] : call.config.keys) {
        if (wish.is_for(id) && wish.is_for(*key)) {
            found.push_back(rank_of(call, wish.order.by, *key));
        }
    }
    const Filter *first = wish.first();
    for_each_with(call.config, RecordKind::key, first != nullptr ? first->member : "",
                  first != nullptr ? first->value : "",
                  [&](const std::string &id, const std::string &json, uint64_t) {
                      KeyRecord key;
                      if (!wish.is_for(id) || call.config.keys.count(id) != 0) {
                          return;
                      }
                      if (!wish.looks_inside(json)) {
                          key.hash = id;
                          key.created = stored_creation(json);
                          found.push_back(rank_of(call, wish.order.by, key));
                      } else if (read_stored(json, id, key) && wish.is_for(key)) {
                          found.push_back(rank_of(call, wish.order.by, key));
                      }
                  });
    std::sort(found.begin(), found.end(), wish.order);
    return found;
}

void write_page(const Page &page, size_t total, json::Writer &w) {
    w.key("total_count").number(int64_t(total));
    w.key("current_page").number(int64_t(page.number));
    w.key("total_pages").number(int64_t(page.count(total)));
}

}  // namespace

AdminAnswer key_list(AdminCall &call) {
    Page page = page_of(call, 10);
    Wish wish(call);
    if (!page.error.param.empty() || !wish.order.error.param.empty()) {
        return bad(page.error.param.empty() ? wish.order.error : page.error);
    }
    std::vector<Rank> found = find_keys(call, wish);
    bool is_full = flag_of(call.argument("return_full_object")).value_or(false);
    AdminAnswer answer;
    json::Writer w(answer.body);
    w.object().key("keys").array();
    for (size_t i = page.first(); i < found.size() && i < page.first() + page.size; i++) {
        if (!is_full) {
            w.plain(found[i].id);
        } else if (auto key = find_key(call.config, found[i].id)) {
            write_key(call, *key, w);
        }
    }
    w.end();
    write_page(page, found.size(), w);
    w.end();
    return answer;
}

// Those that are not known are left out, as LiteLLM does.
AdminAnswer key_info_of_many(AdminCall &call) {
    if (FieldError error; !has_only(call, {"keys"}, error)) {
        return bad(error);
    }
    std::vector<std::string> keys = call.texts("keys");
    if (keys.empty() || std::find(keys.begin(), keys.end(), "") != keys.end()) {
        return admin_error(NGX_HTTP_BAD_REQUEST, "must be a list of keys", "keys");
    }
    AdminAnswer answer;
    json::Writer w(answer.body);
    w.object().key("key").array();
    for (const std::string &given : keys) {
        w.plain(given);
    }
    w.end().key("info").array();
    for (const std::string &given : keys) {
        if (auto key = find_key(call.config, hash_of_key(given))) {
            write_key(call, *key, w);
        }
    }
    w.end().end();
    return answer;
}

// `search` is a part of an alias, in any case.
AdminAnswer key_aliases(AdminCall &call) {
    Page page = page_of(call, 50);
    if (!page.error.param.empty()) {
        return bad(page.error);
    }
    std::string part = lower_case(call.argument("search"));
    std::string team = call.argument("team_id");
    std::vector<std::string> found;
    auto add = [&](const KeyRecord &key) {
        bool is_wanted = !key.alias.empty() && key.replaced_by.empty() &&
                         (team.empty() || key.team == team) &&
                         lower_case(key.alias).find(part) != std::string::npos;
        if (is_wanted) {
            found.push_back(key.alias);
        }
    };
    for (const auto &[id, key] : call.config.keys) {
        add(*key);
    }
    for_each_with(call.config, RecordKind::key, team.empty() ? "" : "team_id", team,
                  [&](const std::string &id, const std::string &json, uint64_t) {
                      KeyRecord key;
                      if (call.config.keys.count(id) == 0 && read_stored(json, id, key)) {
                          add(key);
                      }
                  });
    std::sort(found.begin(), found.end());
    AdminAnswer answer;
    json::Writer w(answer.body);
    w.object().key("aliases").array();
    for (size_t i = page.first(); i < found.size() && i < page.first() + page.size; i++) {
        w.plain(found[i]);
    }
    w.end();
    write_page(page, found.size(), w);
    w.key("size").number(int64_t(page.size)).end();
    return answer;
}

}  // namespace llm
