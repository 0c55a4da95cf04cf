// Which limits a request meets. Entry points: add_demands, add_model_demands, add_alternative.
#include "ngx_llm_module/policy/demands.hpp"

#include "ngx_llm_module/conf/model_names.hpp"

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

    void add_tokens(const Owner &owner, int64_t tpm) {
        add(owner, Quantity::tokens, kOneMinute, tpm);
    }
    void add_requests(const Owner &owner, int64_t rpm) {
        add(owner, Quantity::requests, kOneMinute, rpm);
    }
    void add_parallel(const Owner &owner, int64_t most) {
        add(owner, Quantity::parallel, Period(), most);
    }

    void add_budgets(const Owner &owner, const std::vector<Budget> &budgets,
                     int64_t soft_budget = kNoLimit) {
        if (estimate_.ignores_budgets) {
            return;
        }
        int64_t soft = soft_budget;
        for (const Budget &budget : budgets) {
            add(owner, Quantity::cost, budget.period, budget.nanos, soft);
            soft = kNoLimit;  // it is one of the first budget's period
        }
        add(owner, Quantity::cost, Period(), kNoLimit, soft);
    }

    // All but budgets.
    void add_counts(const Owner &owner, const LimitSet &limits) {
        add_requests(owner, limits.rpm);
        add_tokens(owner, limits.tpm);
        add_parallel(owner, limits.max_parallel_requests);
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

bool is_model(const Config &config, std::string_view pattern, std::string_view model) {
    if (pattern.ends_with('*')) {
        pattern.remove_suffix(1);
        return model.starts_with(pattern);
    }
    return without_alias(config, pattern) == model;
}

// Requests of the model that was asked for.
void add_requests_of_model(const DemandSource &source, const Owner &owner, const LimitSet &limits,
                           Demands &demands) {
    Builder builder(demands, source.estimate, limits);
    for (const ModelLimit &row : limits.models) {
        if (is_model(source.config, row.model, source.model)) {
            builder.add_requests({owner.scope, owner.id, row.model, owner.shown}, row.rpm);
        }
    }
}

// All else of the model that is asked now. A row that means both models has counted the request.
void add_model(const DemandSource &source, const Owner &owner, const LimitSet &limits,
               Demands &demands) {
    Builder builder(demands, source.estimate, limits);
    for (const ModelLimit &row : limits.models) {
        if (!is_model(source.config, row.model, source.current)) {
            continue;
        }
        Owner of_model{owner.scope, owner.id, row.model, owner.shown};
        builder.add_requests(of_model,
                             is_model(source.config, row.model, source.model) ? kNoLimit : row.rpm);
        builder.add_tokens(of_model, row.tpm);
        builder.add_parallel(of_model, row.max_parallel_requests);
        builder.add_budgets(of_model, row.budgets);
    }
}

// All whose limits the request meets, but for deployments.
template <class See>
void each_limited(const DemandSource &source, See see) {
    const Identity &who = source.identity;
    if (who.is_master) {
        return;
    }
    if (who.key != nullptr) {
        see(Owner{Scope::key, who.key->counted_as(), {}, who.key->alias}, who.key->limits);
    }
    if (who.team != nullptr) {
        see(Owner{Scope::team, who.team->id, {}, who.team->id}, who.team->limits);
    }
    if (who.user != nullptr) {
        see(Owner{Scope::user, who.user->id, {}, who.user->id}, who.user->limits);
    }
    if (who.customer != nullptr) {
        see(Owner{Scope::customer, who.customer->id, {}, who.customer->id}, who.customer->limits);
    }
    for (const LimitValue &limit : source.limits) {
        see(Owner{Scope::limit, limit.rule->name, limit.value, limit.rule->name},
            limit.rule->limits);
    }
}

}  // namespace

void add_demands(const DemandSource &source, Demands &demands) {
    if (source.identity.key != nullptr || !source.limits.empty()) {
        demands.list.reserve(16);
    }
    each_limited(source, [&](const Owner &owner, const LimitSet &limits) {
        Builder(demands, source.estimate, limits).add_counts(owner, limits);
        add_requests_of_model(source, owner, limits, demands);
    });
    demands.lasting = demands.list.size();
    demands.common = demands.lasting;
}

void add_model_demands(const DemandSource &source, Demands &demands) {
    each_limited(source, [&](const Owner &owner, const LimitSet &limits) {
        Builder(demands, source.estimate, limits)
            .add_budgets(owner, limits.budgets, limits.soft_budget);
        add_model(source, owner, limits, demands);
    });
    demands.common = demands.list.size();
}

// As Builder::add_budgets counts them: a soft budget without another one is of all time.
std::vector<Period> budget_periods(const LimitSet &limits) {
    std::vector<Period> periods;
    for (const Budget &budget : limits.budgets) {
        periods.push_back(budget.period);
    }
    if (periods.empty() && limits.soft_budget != kNoLimit) {
        periods.emplace_back();
    }
    return periods;
}

void add_alternative(const Estimate &estimate, const Deployment &deployment, Demands &demands) {
    Alternative alternative;
    alternative.slot = deployment.slot;
    alternative.first = uint32_t(demands.list.size());
    Owner owner{Scope::deployment, deployment.id, {}, deployment.id};
    const LimitSet &limits = deployment.limits;
    Builder builder(demands, estimate, limits);
    builder.add_counts(owner, limits);
    builder.add_budgets(owner, limits.budgets, limits.soft_budget);
    alternative.count = uint32_t(demands.list.size()) - alternative.first;
    demands.alternatives.push_back(alternative);
}

}  // namespace llm
