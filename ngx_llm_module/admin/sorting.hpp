// sort_by and sort_order of lists.
#pragma once

#include <compare>
#include <span>
#include <string>
#include <string_view>

#include "ngx_llm_module/admin/resource.hpp"

namespace llm {

// Where a record stands: by what was asked for, and by its id where that is the same.
struct Rank {
    int64_t number = 0;
    std::string text;
    std::string id;

    auto operator<=>(const Rank &) const = default;

    // What is not set comes behind all that is, as in LiteLLM's database.
    void set_text(const std::string &value) {
        number = value.empty() ? 1 : 0;
        text = value;
    }
    void set_number(int64_t value, bool is_set) { number = is_set ? value : INT64_MAX; }
};

struct Order {
    std::string by;  // one of those that are known, or nothing
    bool is_descending = false;
    FieldError error;  // of what was given

    bool operator()(const Rank &a, const Rank &b) const { return is_descending ? b < a : a < b; }
};

// `usual`: without sort_by (nothing: by id), as is_usually_descending is without sort_order.
Order order_of(const AdminCall &call, std::span<const std::string_view> known,
               std::string_view usual, bool is_usually_descending);

}  // namespace llm
