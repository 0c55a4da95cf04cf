// Names of counters; see the header.
#include "ngx_llm_module/policy/demand_name.hpp"

#include <charconv>

namespace llm {
namespace {

struct ScopeNames {
    std::string_view plain;
    std::string_view of_model;
};

constexpr ScopeNames kScopes[] = {
    {"key", "key model"},           {"team", "team model"}, {"user", "user model"},
    {"customer", "customer model"}, {"limit", "limit"},     {"deployment", "deployment"},
};

std::string_view token_name(TokenKind kind) {
    switch (kind) {
        case TokenKind::input:
            return "input tokens";
        case TokenKind::output:
            return "output tokens";
        case TokenKind::total:
            break;
    }
    return "tokens";
}

void append_number(uint64_t number, std::string &out) {
    char text[20];
    auto end = std::to_chars(text, text + sizeof(text), number).ptr;
    out.append(text, size_t(end - text));
}

void append_period(const Period &period, std::string &out) {
    switch (period.kind) {
        case PeriodKind::forever:
            out.append("ever");
            return;
        case PeriodKind::sliding:
            append_number(period.seconds, out);
            out.push_back('s');
            return;
        case PeriodKind::calendar:
            append_number(period.count, out);
            out.append(period.unit == CalendarUnit::day    ? "d"
                       : period.unit == CalendarUnit::week ? "w"
                                                           : "mo");
            return;
    }
}

}  // namespace

std::string_view scope_name(Scope scope, bool is_of_model) {
    const ScopeNames &names = kScopes[size_t(scope)];
    return is_of_model ? names.of_model : names.plain;
}

std::string_view scope_name(const Demand &demand) {
    return scope_name(demand.scope, !demand.detail.empty());
}

std::string_view quantity_name(const Demand &demand) {
    switch (demand.quantity) {
        case Quantity::requests:
            return "requests";
        case Quantity::tokens:
            return token_name(demand.tokens);
        case Quantity::parallel:
            return "parallel requests";
        case Quantity::cost:
            break;
    }
    return "budget";
}

void append_name(const Demand &demand, std::string &out) {
    out.append(scope_name(demand)).push_back(':');
    out.append(quantity_name(demand)).push_back(':');
    if (demand.quantity != Quantity::parallel) {
        append_period(demand.period, out);
    }
    out.push_back(':');
    append_number(demand.id.size(), out);
    out.push_back(':');
    out.append(demand.id).push_back(':');
    out.append(demand.detail);
}

}  // namespace llm
