// Which limits a request meets. Entry points: add_demands, add_alternative.
#include "ngx_llm_module/policy/demands.hpp"

namespace llm {
namespace {

// Whose limits they are: the part that all demands of one set share.
struct Owner {
    Scope scope;
    std::string_view id, detail, shown;
};

class Builder {
  public:
    // `set`: the limits that are added, or whose rows of models are.
    Builder(Demands &demands, const Estimate &estimate, const LimitSet &set)
        : demands_(demands), estimate_(estimate), tokens_(set.tokens), on_outage_(set.on_outage) {}

    void add(const Owner &owner, Quantity quantity, const Period &period, int64_t limit,
             int64_t soft_limit = kNoLimit) {
        if (limit == kNoLimit && soft_limit == kNoLimit) {
            return;
        }
        Demand &demand = demands_.list.emplace_back();
        demand.scope = owner.scope;
        demand.id = owner.id;
        demand.detail = owner.detail;
        demand.shown = owner.shown;
        demand.quantity = quantity;
        demand.tokens = tokens_;
        demand.period = period;
        demand.limit = limit == kNoLimit ? kUnlimited : limit;
        demand.soft_limit = soft_limit == kNoLimit ? kUnlimited : soft_limit;
        demand.on_outage = on_outage_;
        demand.amount = amount_of(quantity);
    }

    void add_rates(const Owner &owner, int64_t rpm, int64_t tpm) {
        add(owner, Quantity::requests, kOneMinute, rpm);
        add(owner, Quantity::tokens, kOneMinute, tpm);
    }

    void add_budgets(const Owner &owner, const LimitSet &limits) {
        if (estimate_.ignores_budgets) {
            return;
        }
        int64_t soft = limits.soft_budget;
        for (const Budget &budget : limits.budgets) {
            add(owner, Quantity::cost, budget.period, budget.nanos, soft);
            soft = kNoLimit;  // it is one of the first budget's period
        }
        add(owner, Quantity::cost, Period(), kNoLimit, soft);
    }

    void add_set(const Owner &owner, const LimitSet &limits) {
        add_rates(owner, limits.rpm, limits.tpm);
        add(owner, Quantity::parallel, Period(), limits.max_parallel_requests);
        add_budgets(owner, limits);
    }

  private:
    int64_t amount_of(Quantity quantity) const {
        Used whole{estimate_.input_tokens, estimate_.output_tokens, estimate_.cost};
        Demand demand;
        demand.quantity = quantity;
        demand.tokens = tokens_;
        return quantity == Quantity::parallel ? 1 : whole.of(demand);
    }

    Demands &demands_;
    const Estimate &estimate_;
    TokenKind tokens_;
    std::optional<OnOutage> on_outage_;
};

bool is_model(std::string_view pattern, std::string_view model) {
    if (pattern.ends_with('*')) {
        pattern.remove_suffix(1);
        return model.starts_with(pattern);
    }
    return pattern == model;
}

// Without a fallback: of the model that was asked for.
void add_models(const DemandSource &source, const Owner &owner, const LimitSet &limits,
                const FallbackModel &fallback, Demands &demands) {
    Builder builder(demands, source.estimate, limits);
    for (const ModelLimit &row : limits.models) {
        bool is_asked = is_model(row.model, source.model);
        // A row that means both has counted already.
        if (fallback.name.empty() ? is_asked : !is_asked && is_model(row.model, fallback.name)) {
            builder.add_rates({owner.scope, owner.id, row.model, owner.shown},
                              fallback.is_counted ? kNoLimit : row.rpm, row.tpm);
        }
    }
}

template <class See>
void each_owner(const Identity &who, See see) {
    if (who.is_master) {
        return;
    }
    if (who.key != nullptr) {
        see({Scope::key, who.key->counted_as(), {}, who.key->alias}, who.key->limits);
    }
    if (who.team != nullptr) {
        see({Scope::team, who.team->id, {}, who.team->id}, who.team->limits);
    }
    if (who.user != nullptr) {
        see({Scope::user, who.user->id, {}, who.user->id}, who.user->limits);
    }
    if (who.customer != nullptr) {
        see({Scope::customer, who.customer->id, {}, who.customer->id}, who.customer->limits);
    }
}

}  // namespace

void add_demands(const DemandSource &source, Demands &demands) {
    const Identity &who = source.identity;
    if (who.is_master) {
        return;
    }
    if (who.key != nullptr || !source.limits.empty()) {
        demands.list.reserve(16);
    }
    each_owner(who, [&](const Owner &owner, const LimitSet &limits) {
        Builder(demands, source.estimate, limits).add_set(owner, limits);
        add_models(source, owner, limits, {}, demands);
    });
    for (const LimitValue &limit : source.limits) {
        const LimitSet &set = limit.rule->limits;
        Builder(demands, source.estimate, set)
            .add_set({Scope::limit, limit.rule->name, limit.value, limit.rule->name}, set);
    }
}

void add_alternative(const DemandSource &source, const Deployment &deployment,
                     const FallbackModel &fallback, Demands &demands) {
    Alternative alternative;
    alternative.slot = deployment.slot;
    alternative.first = uint32_t(demands.list.size());
    Builder(demands, source.estimate, deployment.limits)
        .add_set({Scope::deployment, deployment.id, {}, deployment.id}, deployment.limits);
    if (!fallback.name.empty()) {
        each_owner(source.identity, [&](const Owner &owner, const LimitSet &limits) {
            add_models(source, owner, limits, fallback, demands);
        });
    }
    alternative.count = uint32_t(demands.list.size()) - alternative.first;
    demands.alternatives.push_back(alternative);
}

}  // namespace llm
