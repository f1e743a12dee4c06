// Both gateways in front of a model that writes calls as JSON in tags, and its reasoning in <think>.
#pragma once

#include "coordinator/gateway/chat/chat_template.h"
#include "tests/coordinator/gateway/gateway_fixture.h"
#include "tests/coordinator/gateway/tools/family_templates.h"

namespace caudal {

class ToolsFixture : public GatewayFixture {
 protected:
  ModelContext model() const override {
    ModelContext model = byte_model();
    model.chat_template = ChatTemplate::parse(test::template_of(test::kFamilies[0])).value();
    model.output_format = model.chat_template->output_format();
    return model;
  }
};

}  // namespace caudal
