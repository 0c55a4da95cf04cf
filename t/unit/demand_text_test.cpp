// What a refusal says, word for word: clients and operators read it.
#include <gtest/gtest.h>

#include "ngx_llm_module/policy/demand_name.hpp"
#include "ngx_llm_module/policy/demand_text.hpp"

namespace llm {
namespace {

Demand demand_of(Quantity quantity, int64_t limit, Period period = kOneMinute) {
    Demand demand;
    demand.quantity = quantity;
    demand.limit = limit;
    demand.period = period;
    demand.shown = "team-a";
    return demand;
}

Period period_of(std::string_view text) {
    Period period;
    EXPECT_TRUE(parse_period(text, period)) << text;
    return period;
}

TEST(DemandText, EachLimitHasItsWord) {
    EXPECT_EQ(status_name(demand_of(Quantity::requests, 1)), "refused rpm");
    EXPECT_EQ(status_name(demand_of(Quantity::tokens, 1)), "refused tpm");
    EXPECT_EQ(status_name(demand_of(Quantity::parallel, 1)), "refused max_parallel_requests");
    EXPECT_EQ(status_name(demand_of(Quantity::cost, 1)), "refused max_budget");
    EXPECT_EQ(limit_word(demand_of(Quantity::requests, 1)), "rpm");
    EXPECT_EQ(limit_word(demand_of(Quantity::cost, 1)), "max_budget");
}

TEST(DemandText, DescribesAmountAndPeriod) {
    EXPECT_EQ(describe(demand_of(Quantity::requests, 60)), "60 requests in 60 seconds");
    Demand tokens = demand_of(Quantity::tokens, 1000);
    EXPECT_EQ(describe(tokens), "1000 tokens in 60 seconds");
    tokens.tokens = TokenKind::output;
    EXPECT_EQ(describe(tokens), "1000 output tokens in 60 seconds");
    EXPECT_EQ(describe(demand_of(Quantity::parallel, 4)), "4 parallel requests");
    constexpr int64_t kTenDollars = 10000000000;
    auto money = [](std::string_view period) {
        return describe(demand_of(Quantity::cost, kTenDollars, period_of(period)));
    };
    EXPECT_EQ(money("1d"), "$10 per day");
    EXPECT_EQ(money("7d"), "$10 per week");
    EXPECT_EQ(money("30d"), "$10 per month");
    EXPECT_EQ(money("3d"), "$10 per 3 days");
    EXPECT_EQ(money("2w"), "$10 per 2 weeks");
    EXPECT_EQ(money("3mo"), "$10 per 3 months");
    EXPECT_EQ(money("12h"), "$10 in 43200 seconds");
    EXPECT_EQ(describe(demand_of(Quantity::cost, 1, Period())), "$0.000000001");
}

TEST(DemandText, SaysWhoseLimitAndWhenThereIsRoom) {
    Demand demand = demand_of(Quantity::requests, 2);
    EXPECT_EQ(refusal_of(demand, 0),
              "the limit of key team-a is reached: 2 requests in 60 seconds");
    EXPECT_EQ(refusal_of(demand, -1), refusal_of(demand, 0));
    EXPECT_EQ(
        refusal_of(demand, 1),
        "the limit of key team-a is reached: 2 requests in 60 seconds; there is room again in "
        "1 second");
    EXPECT_TRUE(refusal_of(demand, 1001).ends_with("; there is room again in 2 seconds"));
    demand.detail = "gpt-4o";
    EXPECT_TRUE(
        refusal_of(demand, 0).starts_with("the limit of key team-a for model gpt-4o is reached"));
    demand.scope = Scope::limit;
    demand.shown = "$remote_addr";
    EXPECT_TRUE(refusal_of(demand, 0).starts_with("the limit on $remote_addr is reached"));
    demand.scope = Scope::team;
    demand.detail = {};
    demand.shown = {};
    EXPECT_TRUE(refusal_of(demand, 0).starts_with("the limit of team is reached"));
}

TEST(DemandText, TimesAreWrittenAsOpenAiDoes) {
    EXPECT_EQ(render_wait(0), "0ms");
    EXPECT_EQ(render_wait(20), "20ms");
    EXPECT_EQ(render_wait(1000), "1s");
    EXPECT_EQ(render_wait(1500), "1.5s");
    EXPECT_EQ(render_wait(1007), "1.007s");
    EXPECT_EQ(render_wait(60000), "1m0s");
    EXPECT_EQ(render_wait(360500), "6m0s");
    EXPECT_EQ(render_wait(3600000), "1h0m0s");
    EXPECT_EQ(render_wait(90061000), "25h1m1s");
}

// Counters of all machines are found by these names: they must not change.
TEST(DemandText, NamesOfCountersDoNotMix) {
    auto name = [](const Demand &demand) {
        std::string text;
        append_name(demand, text);
        return text;
    };
    Demand demand = demand_of(Quantity::requests, 2);
    demand.id = "ab";
    EXPECT_EQ(name(demand), "key:requests:60s:2:ab:");
    Demand other = demand;
    other.id = "a";
    other.detail = "b";
    EXPECT_EQ(name(other), "key model:requests:60s:1:a:b");
    other = demand_of(Quantity::cost, 1, period_of("30d"));
    other.id = "ab";
    EXPECT_EQ(name(other), "key:budget:1mo:2:ab:");
    other = demand_of(Quantity::parallel, 1);
    other.id = "ab";
    EXPECT_EQ(name(other), "key:parallel requests::2:ab:");
}

}  // namespace
}  // namespace llm
