// Words and times of refusals; see the header.
#include "ngx_llm_module/policy/demand_text.hpp"

#include "ngx_llm_module/policy/demand_name.hpp"
#include "translators/pricing/cost.hpp"

namespace llm {
namespace {

constexpr std::string_view kRefused = "refused ";

}  // namespace

std::string_view status_name(const Demand &demand) {
    switch (demand.quantity) {
        case Quantity::requests:
            return "refused rpm";
        case Quantity::tokens:
            return "refused tpm";
        case Quantity::parallel:
            return "refused max_parallel_requests";
        case Quantity::cost:
            break;
    }
    return "refused max_budget";
}

std::string_view limit_word(const Demand &demand) {
    return status_name(demand).substr(kRefused.size());
}

std::string describe(const Demand &demand) {
    std::string text;
    if (demand.quantity == Quantity::cost) {
        text = "$" + dollars(demand.limit);
    } else {
        text = std::to_string(demand.limit).append(" ").append(quantity_name(demand));
    }
    const Period &period = demand.period;
    if (demand.quantity == Quantity::parallel || period.kind == PeriodKind::forever) {
        return text;
    }
    if (period.kind == PeriodKind::sliding) {
        return text.append(" in ").append(std::to_string(period.seconds)).append(" seconds");
    }
    return text.append(period.count == 1 ? " per " : " per " + std::to_string(period.count) + " ")
        .append(period.unit == CalendarUnit::day    ? "day"
                : period.unit == CalendarUnit::week ? "week"
                                                    : "month")
        .append(period.count == 1 ? "" : "s");
}

std::string refusal_of(const Demand &demand, int64_t wait_ms) {
    std::string text = "the limit ";
    if (demand.scope == Scope::limit) {
        text.append("on ").append(demand.shown);
    } else {
        text.append("of ").append(scope_name(demand.scope, false));
        text.append(demand.shown.empty() ? "" : " ").append(demand.shown);
        text.append(demand.detail.empty() ? "" : " for model ").append(demand.detail);
    }
    text.append(" is reached: ").append(describe(demand));
    if (wait_ms > 0) {
        int64_t seconds = (wait_ms + 999) / 1000;
        text.append("; there is room again in ").append(std::to_string(seconds));
        text.append(seconds == 1 ? " second" : " seconds");
    }
    return text;
}

std::string render_wait(int64_t ms) {
    if (ms < 1000) {
        return std::to_string(ms) + "ms";
    }
    std::string text;
    int64_t seconds = ms / 1000;
    if (seconds >= 3600) {
        text.append(std::to_string(seconds / 3600)).append("h");
    }
    if (seconds >= 60) {
        text.append(std::to_string(seconds / 60 % 60)).append("m");
    }
    text.append(std::to_string(seconds % 60));
    if (ms % 1000 != 0 && seconds < 60) {
        std::string rest = std::to_string(1000 + ms % 1000).substr(1);
        text.append(".").append(rest.substr(0, rest.find_last_not_of('0') + 1));
    }
    return text.append("s");
}

}  // namespace llm
