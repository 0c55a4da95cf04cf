// What Converse refuses, as its documentation and its error messages say.
#pragma once

#include "t/check/answer.hpp"
#include "translators/dialect/dialect.hpp"

namespace llm::check {

void check_converse_rules(json::Value root, const ModelTraits &traits, Problems &problems);

}  // namespace llm::check
