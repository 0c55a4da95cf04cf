// What follows a failure: failures.def and the arithmetic of route/next_step.cpp.
#include "ngx_llm_module/route/next_step.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace llm {
namespace {

using Kind = NextStep::Kind;

// A request that failed once on the first of `count` deployments.
struct Case {
    explicit Case(Failure why, size_t count = 1, int64_t retry_after = -1) : failure(why) {
        tried.resize(count);
        fail(0, why, retry_after);
    }

    void fail(size_t at, Failure why, int64_t retry_after = -1) {
        failure = why;
        tried[at].tries++;
        note_failure(tried[at], why, now, retry_after, 7);
    }

    NextStep next() const {
        return next_step({failure, tried, retries_left, has_next_model, now, time_left});
    }

    Failure failure;
    std::vector<Tried> tried;
    unsigned retries_left = 2;
    bool has_next_model = false;
    int64_t now = 1000;
    int64_t time_left = 60000;
};

TEST(NextStepTest, AMistakeOfTheCallerIsNobodyElsesBusiness) {
    for (Failure failure : {Failure::bad_request, Failure::too_large}) {
        Case c(failure, 3);
        EXPECT_EQ(c.next().kind, Kind::reply) << rule_of(failure).name;
        EXPECT_EQ(rule_of(failure).models, FallbackKind::none);
        EXPECT_EQ(rule_of(failure).cools, Cools::never);
    }
}

TEST(NextStepTest, ContextAndContentGoToTheirOwnModelsOnly) {
    for (Failure failure : {Failure::context_length, Failure::content_policy}) {
        Case c(failure, 3);
        EXPECT_EQ(c.next().kind, Kind::reply);
        c.has_next_model = true;
        EXPECT_EQ(c.next().kind, Kind::model);
    }
    EXPECT_EQ(rule_of(Failure::context_length).models, FallbackKind::context);
    EXPECT_EQ(rule_of(Failure::content_policy).models, FallbackKind::content);
}

TEST(NextStepTest, AnotherDeploymentIsAskedAtOnce) {
    for (Failure failure :
         {Failure::rate_limit, Failure::overloaded, Failure::server_error, Failure::unreachable,
          Failure::silent, Failure::authentication, Failure::not_found, Failure::truncated}) {
        Case c(failure, 2, failure == Failure::rate_limit ? 20000 : -1);
        c.has_next_model = true;
        NextStep step = c.next();
        EXPECT_EQ(step.kind, Kind::candidate) << rule_of(failure).name;
        EXPECT_EQ(step.candidate, 1u);
        EXPECT_EQ(step.wait, 0);
        EXPECT_FALSE(step.is_retry);
    }
}

TEST(NextStepTest, ASlowDeploymentIsNotTriedAgain) {
    for (Failure failure : {Failure::silent, Failure::connect_timeout, Failure::provider_timeout}) {
        Case c(failure);
        EXPECT_EQ(c.next().kind, Kind::reply) << rule_of(failure).name;
    }
}

TEST(NextStepTest, AnErrorOfTheServerIsTriedOnceMore) {
    Case c(Failure::server_error);
    EXPECT_TRUE(c.next().is_retry);
    c.fail(0, Failure::server_error);
    EXPECT_EQ(c.next().kind, Kind::reply);
}

TEST(NextStepTest, RetriesAreBoundedAndSpaced) {
    Case c(Failure::overloaded);
    NextStep first = c.next();
    EXPECT_TRUE(first.is_retry);
    EXPECT_GE(first.wait, 100);
    EXPECT_LE(first.wait, 200);
    c.now += first.wait;
    c.fail(0, Failure::overloaded);
    c.retries_left--;
    NextStep second = c.next();
    EXPECT_GE(second.wait, 200);
    EXPECT_LE(second.wait, 400);
    c.retries_left--;
    EXPECT_EQ(c.next().kind, Kind::reply);
}

TEST(NextStepTest, RetryAfterIsWaitedForWhereThereIsNoElsewhere) {
    Case c(Failure::rate_limit, 1, 2000);
    NextStep step = c.next();
    EXPECT_EQ(step.kind, Kind::candidate);
    EXPECT_EQ(step.wait, 2000);
    c.has_next_model = true;
    EXPECT_EQ(c.next().kind, Kind::model);
    c.has_next_model = false;
    c.time_left = 1500;
    EXPECT_EQ(c.next().kind, Kind::reply);
}

TEST(NextStepTest, WithoutAStatedTimeTheModelIsTriedAgainBeforeAnother) {
    Case c(Failure::rate_limit);
    c.has_next_model = true;
    EXPECT_EQ(c.next().kind, Kind::candidate);
    c.retries_left = 0;
    EXPECT_EQ(c.next().kind, Kind::model);
}

TEST(NextStepTest, TheOneThatIsReadyFirstIsTriedAgain) {
    Case c(Failure::rate_limit, 2, 5000);
    c.fail(1, Failure::rate_limit, 1000);
    NextStep step = c.next();
    EXPECT_EQ(step.candidate, 1u);
    EXPECT_EQ(step.wait, 1000);
}

TEST(NextStepTest, NoTimeNoAttempt) {
    Case c(Failure::server_error, 3);
    c.time_left = 0;
    c.has_next_model = true;
    EXPECT_EQ(c.next().kind, Kind::reply);
    Case d(Failure::deadline, 3);
    EXPECT_EQ(d.next().kind, Kind::reply);
}

TEST(NextStepTest, EveryClassHasItsKind) {
    for (int i = 0; i <= int(ErrorClass::stream_truncated); i++) {
        auto error_class = ErrorClass(i);
        bool is_elsewhere = rule_of(failure_of(error_class)).elsewhere;
        bool is_said = spelling(error_class).elsewhere || error_class == ErrorClass::unsupported;
        EXPECT_EQ(is_elsewhere, is_said) << spelling(error_class).name;
    }
}

TEST(NextStepTest, Seconds) {
    EXPECT_EQ(parse_seconds("2"), 2000);
    EXPECT_EQ(parse_seconds("0.25"), 250);
    EXPECT_EQ(parse_seconds("1.5678"), 1567);
    EXPECT_EQ(parse_seconds("0"), 0);
    EXPECT_EQ(parse_seconds(""), -1);
    EXPECT_EQ(parse_seconds("-1"), -1);
    EXPECT_EQ(parse_seconds("Wed, 21 Oct 2026 07:28:00 GMT"), -1);
    EXPECT_EQ(parse_seconds("99999999999999999999"), 86400LL * 365 * 1000);
}

}  // namespace
}  // namespace llm
