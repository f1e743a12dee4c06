#include <fstream>
#include <iostream>
#include <iterator>
#include <filesystem>
#include <algorithm>
#include "coordinator/gateway/chat/chat_template.h"
using namespace caudal;
static std::string q(std::string s){std::string o="'";for(char c:s){if(c=='\n')o+="\\n";else if(c=='\x01')o+="\\1";else o+=c;}return o+"'";}
int main(int argc,char**argv){
  std::vector<std::filesystem::path> fs; for(auto&e:std::filesystem::directory_iterator(argv[1])) fs.push_back(e.path()); std::ranges::sort(fs);
  for(auto&f:fs){ if(argc>2 && f.string().find(argv[2])==std::string::npos) continue; std::ifstream in(f); std::string s((std::istreambuf_iterator<char>(in)),{}); auto t=ChatTemplate::parse(s); if(!t.ok()){std::cout<<"== "<<f.stem().string()<<" PARSE "<<t.error().message<<"\n";continue;}
    const auto& o=t.value().output_format(); if(!o.told && !o.tools && !o.reasoning) continue;
    std::cout<<"== "<<f.stem().string()<<(o.told?"":" NOTOOLS")<<"\n";
    if(o.reasoning) std::cout<<"  think "<<q(o.reasoning->open)<<" "<<q(o.reasoning->close)<<"\n";
    std::cout<<"  silent"; for(auto&m:o.silent) std::cout<<" "<<q(m); std::cout<<"\n";
    if(!o.tools){ if(o.told) std::cout<<"  NO CALLS\n"; continue;}
    const auto&c=*o.tools; std::cout<<"  block "<<q(c.block_open)<<" sep "<<q(c.separator)<<" close "<<q(c.block_close)<<(c.several?"":" ONE")<<(c.bare()?" BARE":"")<<(c.arguments_as_text?" TEXT":"")<<" ids"<<(int)c.ids<<"\n  call";
    for(auto&e:c.call){ const char*k[]={"","NAME","SKIP","OBJECT","JSON","LOOSE","PARAMS"}; std::cout<<" "<<(e.kind==CallElement::Kind::kLiteral?q(e.text):k[(int)e.kind]); if(e.kind==CallElement::Kind::kObject) std::cout<<"("<<c.object.name_key<<","<<c.object.arguments_key<<","<<c.object.id_key<<")"; if(e.kind==CallElement::Kind::kLoose) std::cout<<"("<<c.loose.open<<c.loose.key_close<<q(c.loose.quote)<<")"; if(e.kind==CallElement::Kind::kParameters){ std::cout<<"("<<q(c.parameters.open); for(auto&x:c.parameters.key_closes) std::cout<<" "<<q(x); std::cout<<" / "<<q(c.parameters.close)<<(c.parameters.close_has_key?"K":"")<<q(c.parameters.value_space)<<")";}}
    std::cout<<"\n"; }
}
