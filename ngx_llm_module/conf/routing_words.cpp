// Words of llm_model and their directives that say how deployments are chosen and what follows a
// failure; the check of fallbacks.
#include "ngx_llm_module/conf/routing_words.hpp"

#include <algorithm>
#include <cstdlib>

#include "ngx_llm_module/conf/complain.hpp"
#include "ngx_llm_module/conf/model_names.hpp"

namespace llm {
namespace {

struct StrategyName {
    std::string_view name;
    Strategy strategy;
};

constexpr StrategyName kStrategies[] = {
    {"simple-shuffle", Strategy::simple_shuffle}, {"least-busy", Strategy::least_busy},
    {"latency-based", Strategy::latency_based},   {"usage-based", Strategy::usage_based},
    {"cost-based", Strategy::cost_based},         {"round-robin", Strategy::round_robin},
};

bool read_buffer(ngx_conf_t *cf, ngx_str_t option, Model &model) {
    constexpr std::string_view kName = "buffer=";
    std::string text(view(option));
    char *end = nullptr;
    double buffer = text.starts_with(kName) && text.size() > kName.size()
                        ? std::strtod(text.c_str() + kName.size(), &end)
                        : -1;
    if (model.routing.strategy != Strategy::latency_based || !(buffer >= 0 && buffer <= 10) ||
        *end != '\0') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid parameter \"%V\" of strategy",
                           &option);
        return false;
    }
    model.routing.latency_buffer = buffer;
    return true;
}

// "5%" or "0.5%": in 1/10000.
bool read_share(std::string_view text, uint32_t &share) {
    if (!text.ends_with('%')) {
        return false;
    }
    text.remove_suffix(1);
    size_t point = std::min(text.find('.'), text.size());
    size_t decimals = point == text.size() ? 0 : text.size() - point - 1;
    if (point == 0 || point > 3 || decimals > 2 || (point < text.size() && decimals == 0)) {
        return false;
    }
    uint32_t value = 0;
    std::string digits(text.substr(0, point));
    digits.append(text.substr(text.size() - decimals));
    for (char c : digits) {
        if (c < '0' || c > '9') {
            return false;
        }
        value = value * 10 + uint32_t(c - '0');
    }
    for (; decimals < 2; decimals++) {
        value *= 10;
    }
    share = value;
    return value > 0 && value <= 10000;
}

// Names on the way from one model to its fallbacks and theirs.
class Walk {
  public:
    Walk(ngx_conf_t *cf, const Config &config, std::vector<Placed> Routing::*list)
        : cf_(cf), config_(config), list_(list) {}

    bool visit(const Model &model) {
        on_way_.push_back(&model);
        for (const Placed &name : model.routing.*list_) {
            std::string_view suffix;
            const Model *next = find_model(config_, name.text, suffix);
            if (next == nullptr) {
                return complain(cf_, name.place, "fallback \"%s\" of model \"%s\" does not exist",
                                name.text.c_str(), model.name.c_str());
            }
            if (std::find(on_way_.begin(), on_way_.end(), next) != on_way_.end()) {
                return complain(cf_, name.place,
                                "fallback \"%s\" of model \"%s\" leads back to model \"%s\"",
                                name.text.c_str(), model.name.c_str(), next->name.c_str());
            }
            if (std::find(done_.begin(), done_.end(), next) == done_.end() && !visit(*next)) {
                return false;
            }
        }
        on_way_.pop_back();
        done_.push_back(&model);
        return true;
    }

  private:
    ngx_conf_t *cf_;
    const Config &config_;
    std::vector<Placed> Routing::*list_;
    std::vector<const Model *> on_way_;
    std::vector<const Model *> done_;
};

}  // namespace

std::optional<Strategy> find_strategy(std::string_view name) {
    for (const StrategyName &row : kStrategies) {
        if (row.name == name) {
            return row.strategy;
        }
    }
    return {};
}

bool read_names(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t count, std::vector<Placed> &names) {
    for (ngx_uint_t i = 0; i < count; i++) {
        if (has_bad_character(view(args[i]), false)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid model name \"%V\"", &args[i]);
            return false;
        }
        names.push_back({std::string(view(args[i])), ConfPlace::here(cf)});
    }
    return true;
}

bool read_recover_word(ngx_conf_t *cf, ngx_str_t text, ngx_uint_t &recover) {
    if (view(text) == "off") {
        recover = kRecoverOff;
    } else if (view(text) == "restart") {
        recover = kRecoverRestart;
    } else if (view(text) == "continue") {
        recover = kRecoverContinue;
    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: invalid value \"%V\", expected off, restart or continue", &text);
        return false;
    }
    return true;
}

bool read_tags(ngx_conf_t *cf, ngx_str_t text, std::vector<std::string> &tags) {
    std::string_view rest = view(text);
    while (true) {
        std::string_view tag = rest.substr(0, rest.find(','));
        if (has_bad_character(tag, false)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid tags \"%V\"", &text);
            return false;
        }
        tags.emplace_back(tag);
        if (tag.size() == rest.size()) {
            return true;
        }
        rest.remove_prefix(tag.size() + 1);
    }
}

bool read_strategy(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t count, Model &model) {
    std::optional<Strategy> strategy = find_strategy(view(args[0]));
    if (!strategy) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: unknown strategy \"%V\"", &args[0]);
        return false;
    }
    model.routing.strategy = *strategy;
    return count == 1 || read_buffer(cf, args[1], model);
}

bool read_hedge(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t count, Model &model) {
    constexpr std::string_view kAfter = "after=", kMax = "max=";
    HedgeRule &rule = model.routing.hedge;
    bool has_after = false;
    for (ngx_uint_t i = 0; i < count; i++) {
        std::string_view text = view(args[i]);
        bool is_good = false;
        if (text.starts_with(kAfter)) {
            has_after = true;
            ngx_str_t value = str(text.substr(kAfter.size()));
            ngx_int_t time = view(value) == "auto" ? 0 : ngx_parse_time(&value, 0);
            is_good = time > 0 || view(value) == "auto";
            rule.after = ngx_msec_t(time);
        } else if (text.starts_with(kMax)) {
            is_good = read_share(text.substr(kMax.size()), rule.share);
        }
        if (!is_good) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid parameter \"%V\" of hedge",
                               &args[i]);
            return false;
        }
    }
    if (!has_after) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: hedge needs after=auto or after=TIME");
        return false;
    }
    rule.is_on = true;
    return true;
}

bool read_affinity(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Model &model) {
    return read_flag(cf, args[0], model.routing.has_affinity);
}

bool read_cooldown_time(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Model &model) {
    return read_time(cf, args[0], model.routing.cooldown_time);
}

bool read_recover(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Model &model) {
    return read_recover_word(cf, args[0], model.routing.recover);
}

bool check_fallbacks(ngx_conf_t *cf, const Config &config) {
    for (auto list :
         {&Routing::fallbacks, &Routing::context_fallbacks, &Routing::content_fallbacks}) {
        for (const auto &model : config.models) {
            if (!Walk(cf, config, list).visit(*model)) {
                return false;
            }
        }
    }
    for (const Placed &name : config.default_fallbacks) {
        std::string_view suffix;
        if (find_model(config, name.text, suffix) == nullptr) {
            return complain(cf, name.place, "default fallback \"%s\" does not exist",
                            name.text.c_str());
        }
    }
    return true;
}

}  // namespace llm
